import type { Command } from 'commander';
import type { PeerStatus } from '../agent/status.ts';
import { addQuestion } from './ask.ts';
import { formatBytes, formatTable } from './table.ts';

/** `ripstop peers`: the other nodes and what went to and came from each. */
export function addPeers(program: Command): void {
  addQuestion<PeerStatus[]>(program, {
    name: 'peers',
    summary: 'list the peers with their traffic',
    path: '/peers',
    show: showPeers,
  });
}

export function showPeers(peers: PeerStatus[]): string {
  if (peers.length === 0) return 'no peers\n';
  const rows = peers.map(({ id, node, device, address, mac, subnets, direct, traffic }) => [
    node ?? id,
    address,
    direct ? 'direct' : (device ?? '-'),
    mac ?? '-',
    subnets.join(','),
    traffic ? traffic.egress.frames : '-',
    traffic ? formatBytes(traffic.egress.bytes) : '-',
    traffic ? traffic.ingress.frames : '-',
    traffic ? formatBytes(traffic.ingress.bytes) : '-',
  ]);
  return formatTable(['NODE', 'ADDRESS', 'BY', 'MAC', 'SUBNETS', 'SENT', 'BYTES', 'RECEIVED', 'BYTES'], rows);
}
