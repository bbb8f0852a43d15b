import type { Answer, LeaseStatus, PeerStatus, RouteStatus } from '../../../api/answers.ts';
import { formatBytes, formatLatency, formatShare } from '../../../base/text/quantity.ts';
import { podText } from '../../../capture/live/pods.ts';
import type { DropStatus } from '../../../diagnose/drops.ts';
import { formatTable } from '../../terminal/table.ts';

/* The answers of the agent as tables for a terminal. */

export function showPeers(peers: readonly PeerStatus[]): string {
  if (peers.length === 0) return 'no peers\n';
  const rows = peers.map(({ node, agent, device, address, subnets, direct, traffic, health }) => {
    const way = health?.tunnel ?? health?.underlay;
    return [
      node ?? agent ?? '-',
      address,
      direct ? 'direct' : (device ?? 'routes'),
      subnets.join(','),
      traffic ? formatBytes(traffic.egress.bytes) : '-',
      traffic ? formatBytes(traffic.ingress.bytes) : '-',
      way ? formatShare(way.lost / way.probes) : '-',
      way && way.rttMs !== null ? formatLatency(way.rttMs) : '-',
    ];
  });
  const table = formatTable(['NODE', 'ADDRESS', 'BY', 'SUBNETS', 'SENT', 'RECEIVED', 'LOSS', 'RTT'], rows);
  const broken = peers.filter(({ segmentation }) => segmentation?.state === 'broken').map(segmentationNote);
  return broken.length > 0 ? `${table}\n${broken.join('')}` : table;
}

function segmentationNote({ node, address, segmentation }: PeerStatus): string {
  const since = segmentation?.since ? ` since ${seconds(segmentation.since)}` : '';
  return `${node ?? address}: segmentation offload is off${since}:\n  ${segmentation?.detail}\n`;
}

export function showRoutes(routes: readonly RouteStatus[]): string {
  if (routes.length === 0) return 'no routes\n';
  return formatTable(
    ['DESTINATION', 'VIA', 'DEVICE'],
    routes.map(({ destination, via, device }) => [destination, via ?? '-', device ?? '-']),
  );
}

export function showLeases(leases: readonly LeaseStatus[]): string {
  if (leases.length === 0) return 'no leases\n';
  const rows = leases.map(lease => [
    lease.own ? '*' : '',
    lease.subnets.join(','),
    lease.node ?? lease.agent ?? '-',
    [lease.publicIp, lease.publicIpv6].filter(Boolean).join(','),
    lease.backend,
    lease.ends ?? 'by the store',
  ]);
  return formatTable(['', 'SUBNETS', 'NODE', 'ADDRESS', 'BACKEND', 'ENDS'], rows);
}

/** Former pods are listed as well: an address that is used again has a line for each of its pods. */
export function showPods(pods: Answer<'/pods'>): string {
  if (pods.length === 0) return 'no pods\n';
  const rows = [...pods]
    .sort(
      (a, b) => a.address.localeCompare(b.address, 'en', { numeric: true }) || (a.since < b.since ? -1 : 1),
    )
    .map(pod => [
      pod.address,
      podText(pod),
      seconds(pod.since),
      pod.until === null ? '-' : seconds(pod.until),
      pod.ifname,
    ]);
  return formatTable(['ADDRESS', 'POD', 'SINCE', 'UNTIL', 'INTERFACE'], rows);
}

/** `2026-11-30T13:04:08Z` */
function seconds(time: string): string {
  return time.replace(/\.\d+Z$/, 'Z');
}

export function showDrops({ drops, stack }: Answer<'/drops'>): string {
  const parts = [drops.length === 0 ? 'no drops\n' : dropTable(drops)];
  if (stack.length > 0) parts.push(showStack(stack, 'since the agent started'));
  return parts.join('\n');
}

const NAME_WIDTH = 26;
const COUNT_WIDTH = 12;

/** A line of an account. */
export function countRow(name: string, count: number | string, note = ''): string {
  return `  ${name.padEnd(NAME_WIDTH)}${String(count).padStart(COUNT_WIDTH)}  ${note}`.trimEnd();
}

/** Counters of the IP stack with a title. @param when the time in which they changed */
export function showStack(stack: Answer<'/drops'>['stack'], when: string): string {
  const rows = stack.map(({ counter, change }) => `${countRow(counter, change)}\n`);
  return `IP stack of this network namespace ${when}, all programs together;\nsocket-dropped contains its part of the UDP errors:\n${rows.join('')}`;
}

function dropTable(drops: readonly DropStatus[]): string {
  const table = formatTable(
    ['DEVICE', 'REASON', 'DIRECTION', 'FRAMES', 'BYTES', 'MEANING'],
    drops.map(drop => [
      drop.device,
      drop.reason,
      drop.direction,
      drop.frames,
      // The kernel counts no bytes of what it drops.
      drop.bytes === 0 ? '-' : formatBytes(drop.bytes),
      drop.meaning,
    ]),
  );
  const remedies = new Map(drops.filter(drop => drop.remedy).map(drop => [drop.reason, drop.remedy]));
  return `${table}\n${[...remedies].map(([reason, remedy]) => `${reason}: ${remedy}\n`).join('')}`;
}
