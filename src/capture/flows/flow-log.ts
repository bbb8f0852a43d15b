import { elementAt } from '../../base/at.ts';
import type { CaptureContext } from '../live/context.ts';
import type { FlowEntry } from './flow-entry.ts';
import type { FiveTuple } from './flow-filter.ts';
import { describeKey, describePeer } from './flow-report.ts';

/**
 * One line of the flow log: what a flow did since its line before. The names are the information elements of IPFIX
 * (https://www.iana.org/assignments/ipfix), so that a collector which takes IPFIX as JSON takes these; what IPFIX has
 * no element for stands under `ripstop`. docs/decisions/0074-flow-table.md says why there is no binary IPFIX.
 */
export interface FlowRecord {
  readonly flowStartMilliseconds: string;
  readonly flowEndMilliseconds: string;
  /** 1 idle, 2 still active, 3 end seen, 5 no room. */
  readonly flowEndReason: number;
  /** 0 ingress, 1 egress. */
  readonly flowDirection: number;
  readonly protocolIdentifier: number;
  readonly sourceIPv4Address?: string;
  readonly destinationIPv4Address?: string;
  readonly sourceIPv6Address?: string;
  readonly destinationIPv6Address?: string;
  readonly sourceTransportPort?: number;
  readonly destinationTransportPort?: number;
  readonly packetDeltaCount: number;
  readonly octetDeltaCount: number;
  readonly droppedPacketDeltaCount: number;
  readonly samplingProbability: number;
  /** Lines that were left out before this one. */
  readonly lostRecords?: number;
  readonly ripstop: {
    readonly device: string;
    readonly protocol: string;
    readonly peer: string | null;
    readonly peerAddress: string | null;
    readonly retransmissions: number;
    readonly rttMs: number | null;
    readonly dropReason: string | null;
  };
}

/** End reason of a flow that goes on (IPFIX: active timeout). */
export const ACTIVE_TIMEOUT = 2;

/** The line for what a flow did since its last one. Marks it as told. */
export function logFlow(
  key: Int32Array,
  entry: FlowEntry,
  reason: number,
  context: CaptureContext,
  device: string,
  sampled: number,
): FlowRecord {
  const { direction, protocol, source, destination, sourcePort, destinationPort } = describeKey(key);
  const version = source.includes(':') ? 'IPv6' : 'IPv4';
  const drops = entry.drops - entry.dropsLogged;
  const record = {
    flowStartMilliseconds: new Date(entry.loggedUntil).toISOString(),
    flowEndMilliseconds: new Date(entry.last).toISOString(),
    flowEndReason: reason,
    flowDirection: direction === 'egress' ? 1 : 0,
    protocolIdentifier: elementAt(key, 0) & 0xff,
    [`source${version}Address`]: source,
    [`destination${version}Address`]: destination,
    ...(sourcePort === null ? {} : { sourceTransportPort: sourcePort }),
    ...(destinationPort === null ? {} : { destinationTransportPort: destinationPort }),
    packetDeltaCount: Math.round(entry.packets - entry.packetsLogged),
    octetDeltaCount: Math.round(entry.bytes - entry.bytesLogged),
    droppedPacketDeltaCount: Math.round(drops),
    samplingProbability: sampled,
    ripstop: {
      device,
      protocol,
      ...describePeer(context, entry.peer),
      retransmissions: Math.round(entry.retransmissions - entry.retransmissionsLogged),
      rttMs: entry.rtt < 0 ? null : entry.rtt,
      dropReason: drops > 0 ? (context.verdicts[entry.dropVerdict]?.name ?? null) : null,
    },
  };
  entry.packetsLogged = entry.packets;
  entry.bytesLogged = entry.bytes;
  entry.dropsLogged = entry.drops;
  entry.retransmissionsLogged = entry.retransmissions;
  entry.loggedUntil = entry.last;
  return record;
}

/** The 5-tuple of a line, for a filter. */
export function endsOf(record: FlowRecord): FiveTuple {
  return {
    protocol: record.ripstop.protocol,
    source: record.sourceIPv4Address ?? record.sourceIPv6Address ?? '',
    sourcePort: record.sourceTransportPort ?? null,
    destination: record.destinationIPv4Address ?? record.destinationIPv6Address ?? '',
    destinationPort: record.destinationTransportPort ?? null,
  };
}
