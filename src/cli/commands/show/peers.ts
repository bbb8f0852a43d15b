import type { Command } from 'commander';
import type { PeerStatus } from '../../../api/status.ts';
import { formatBytes, formatTable } from '../../terminal/table.ts';
import { addQueryCommand } from './query.ts';

/** `ripstop peers`: the other nodes and what went to and came from each. */
export function addPeers(program: Command): void {
  addQueryCommand<PeerStatus[]>(program, {
    name: 'peers',
    summary: 'list the peers with their traffic and how they answer',
    path: '/peers',
    show: showPeers,
  });
}

export function showPeers(peers: PeerStatus[]): string {
  if (peers.length === 0) return 'no peers\n';
  const rows = peers.map(({ node, device, address, subnets, direct, traffic, health }) => {
    const way = health?.tunnel ?? health?.underlay;
    return [
      node ?? '-',
      address,
      direct ? 'direct' : (device ?? 'routes'),
      subnets.join(','),
      traffic ? formatBytes(traffic.egress.bytes) : '-',
      traffic ? formatBytes(traffic.ingress.bytes) : '-',
      way ? `${Math.round((way.lost / way.probes) * 100)}%` : '-',
      way && way.rttMs !== null ? `${way.rttMs.toPrecision(2)} ms` : '-',
    ];
  });
  return formatTable(['NODE', 'ADDRESS', 'BY', 'SUBNETS', 'SENT', 'RECEIVED', 'LOSS', 'RTT'], rows);
}
