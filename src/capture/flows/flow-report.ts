import { formatIp } from '../../../encap/wire/addresses.ts';
import { elementAt } from '../../base/at.ts';
import {
  boolean,
  described,
  nullable,
  number,
  oneOf,
  record,
  string,
  type ValueOf,
} from '../../base/schema.ts';
import type { CaptureContext, CapturePeer } from '../live/context.ts';
import type { FlowEntry } from './flow-entry.ts';
import { EGRESS } from './flow-fields.ts';
import type { FlowTable } from './flow-table.ts';

/** Counts of a flow, or of all flows of a peer in one direction. */
const flowCounts = record({
  packets: described('forwarded packets', number),
  bytes: described('IP bytes, as on the wire', number),
  packetRate: described('packets per second, over the last one to two seconds', number),
  bitRate: described('bits per second, over the same time', number),
  drops: described('packets dropped by this node', number),
  retransmissions: described('retransmitted TCP segments', number),
  rttMs: described(
    'time from a TCP segment at this node to its acknowledgement, smoothed, ms; null if unknown',
    nullable(number),
  ),
  rttMinMs: described('the same, minimum', nullable(number)),
});

/** One flow: a 5-tuple in one direction. */
export const flowRow = record({
  ...flowCounts.fields,
  device: described('device of the overlay', string),
  direction: described('egress: to the peer; ingress: from it', oneOf(['egress', 'ingress'])),
  protocol: described('`tcp`, `udp`, `icmp`, `icmp6`, `sctp`, or the number', string),
  source: described('inner source address', string),
  sourcePort: described('null for a protocol without ports', nullable(number)),
  destination: described('inner destination address', string),
  destinationPort: described('null for a protocol without ports', nullable(number)),
  peer: described('name of the peer; null without one', nullable(string)),
  peerAddress: described('its underlay address', nullable(string)),
  dropReason: described('verdict of the last dropped packet; null without one', nullable(string)),
  ending: described('FIN or RST was seen', boolean),
  first: described('time of the first packet', string),
  last: described('time of the last packet', string),
});

/** All flows of a peer. */
export const flowPeerRow = record({
  device: described('device of the overlay', string),
  peer: described('name of the peer; null for packets without one', nullable(string)),
  peerAddress: described('its underlay address', nullable(string)),
  flows: described('number of its flows in the table', number),
  egress: described('sums of what was sent to it', flowCounts),
  ingress: described('sums of what came from it', flowCounts),
});

const frameCounts = record({
  seen: described('sampled frames', number),
  unsampled: described('frames that came too fast to be sampled', number),
  other: described('frames that are not IP', number),
});

const evicted = record({
  flows: described('number of flows', number),
  packets: described('their packets', number),
  bytes: described('their bytes', number),
});

const tableState = record({
  capacity: described('flows that it holds at most', number),
  flows: described('flows that it holds', number),
  evicted: described('flows that were evicted to make room', evicted),
});

/** The flow table of one data plane, without its flows. */
export const flowOverview = record({
  device: described('device of the overlay', string),
  since: described('when counting began', string),
  rateSeconds: described('seconds that the rates are taken over', number),
  frames: described('frames since then', frameCounts),
  sampled: described(
    'share of the recent frames that was sampled; below 1 all counts are scaled estimates',
    number,
  ),
  table: described('size of the table', tableState),
});

export type FlowCounts = ValueOf<typeof flowCounts>;
export type FlowRow = ValueOf<typeof flowRow>;
export type FlowPeerRow = ValueOf<typeof flowPeerRow>;

/** The flow table of one data plane. */
export interface FlowReport extends ValueOf<typeof flowOverview> {
  readonly flows: readonly FlowRow[];
  readonly peers: readonly FlowPeerRow[];
}

/** What the numbers in a table mean. */
export interface FlowNames extends Pick<CaptureContext, 'verdicts'> {
  /** By number of `FlowPeers`. */
  readonly peers: readonly Pick<CapturePeer, 'id' | 'address'>[];
}

/** The flows of a table. */
export function flowRows(table: FlowTable, context: FlowNames, device: string, nowMs: number): FlowRow[] {
  const seconds = rateSeconds(table, nowMs);
  const rows: FlowRow[] = [];
  table.each((key, entry) => {
    rows.push({
      device,
      ...describeKey(key),
      ...describePeer(context, entry.peer),
      ...counts(entry, seconds),
      dropReason: entry.drops > 0 ? (context.verdicts[entry.dropVerdict]?.name ?? null) : null,
      ending: entry.isEnding,
      first: new Date(entry.first).toISOString(),
      last: new Date(entry.last).toISOString(),
    });
  });
  return rows;
}

/** The sums per peer; frames without a peer are last. */
export function peerRows(table: FlowTable, context: FlowNames, device: string, nowMs: number): FlowPeerRow[] {
  const seconds = rateSeconds(table, nowMs);
  const flows = new Map<number, number>();
  table.each((_key, entry) => flows.set(entry.peer, (flows.get(entry.peer) ?? 0) + 1));
  const rows = new Map<number, { egress: FlowCounts; ingress: FlowCounts }>();
  for (const { peer, direction, sums } of table.peers) {
    const row = rows.get(peer) ?? { egress: NOTHING, ingress: NOTHING };
    rows.set(peer, { ...row, [direction === EGRESS ? 'egress' : 'ingress']: counts(sums, seconds) });
  }
  return [...rows]
    .sort(([a], [b]) => Number(a < 0) - Number(b < 0) || a - b)
    .map(([peer, row]) => ({
      device,
      ...describePeer(context, peer),
      flows: flows.get(peer) ?? 0,
      ...row,
    }));
}

/** Length of the rate interval, seconds, at least 0.001. */
export function rateSeconds(table: FlowTable, nowMs: number): number {
  return Math.max(0.001, (nowMs - table.markedAt) / 1000);
}

function counts(entry: FlowEntry, seconds: number): FlowCounts {
  return {
    packets: Math.round(entry.packets),
    bytes: Math.round(entry.bytes),
    packetRate: (entry.packets - entry.packetsBefore) / seconds,
    bitRate: ((entry.bytes - entry.bytesBefore) * 8) / seconds,
    drops: Math.round(entry.drops),
    retransmissions: Math.round(entry.retransmissions),
    rttMs: entry.rtt < 0 ? null : entry.rtt,
    rttMinMs: entry.rttMin < 0 ? null : entry.rttMin,
  };
}

const NOTHING: FlowCounts = {
  packets: 0,
  bytes: 0,
  packetRate: 0,
  bitRate: 0,
  drops: 0,
  retransmissions: 0,
  rttMs: null,
  rttMinMs: null,
};

const PROTOCOLS: Readonly<Record<string, number>> = { icmp: 1, tcp: 6, udp: 17, icmp6: 58, sctp: 132 };
const NAMES = new Map(Object.entries(PROTOCOLS).map(([name, number]) => [number, name]));
const HAVE_PORTS = [6, 17, 132];

/** The IP protocol number of a name that `describeKey` gives. */
export const protocolNumber = (name: string): number => PROTOCOLS[name] ?? Number(name);

/** Decodes a key of `flow-fields.ts`. */
export function describeKey(key: Int32Array) {
  const head = elementAt(key, 0);
  const ports = elementAt(key, 1);
  const isIpv6 = ((head >>> 8) & 1) === 1;
  const protocol = head & 0xff;
  const address = (from: number): string => {
    const view = new DataView(new ArrayBuffer(16));
    for (const [word, value] of key.subarray(from, from + 4).entries()) view.setInt32(word * 4, value);
    if (!isIpv6) view.setUint16(10, 0xffff);
    return formatIp(view, 0);
  };
  const hasPorts = HAVE_PORTS.includes(protocol);
  return {
    direction: head >>> 16 === EGRESS ? ('egress' as const) : ('ingress' as const),
    protocol: NAMES.get(protocol) ?? String(protocol),
    source: address(2),
    sourcePort: hasPorts ? ports >>> 16 : null,
    destination: address(6),
    destinationPort: hasPorts ? ports & 0xffff : null,
  };
}

export function describePeer({ peers }: Pick<FlowNames, 'peers'>, number: number) {
  const peer = number < 0 ? undefined : peers[number];
  return { peer: peer?.id ?? null, peerAddress: peer?.address ?? null };
}
