import { elementAt } from '../../base/at.ts';
import { integer, openObject, parseJson, readKnown, required, text } from '../../base/schema.ts';
import type { CaptureContext } from '../live/context.ts';
import type { FlowEntry } from './flow-entry.ts';
import type { FiveTuple } from './flow-filter.ts';
import { describeKey, describePeer } from './flow-report.ts';

/**
 * One line of the flow log: what a flow did since its previous line. The names are the information elements of IPFIX
 * (https://www.iana.org/assignments/ipfix), so a collector that accepts IPFIX as JSON accepts these lines; fields
 * without an IPFIX element are under `ripstop`. docs/decisions/0074-flow-table.md explains why there is no binary IPFIX.
 */
export interface FlowRecord extends ReturnType<typeof logFlow> {
  /** Lines that were left out before this one. */
  readonly lostRecords?: number;
}

/** flowEndReason of a flow that continues. */
export const ACTIVE_TIMEOUT = 2;

/** The line for what a flow did since its previous line. */
export function logFlow(
  key: Int32Array,
  entry: FlowEntry,
  reason: number,
  context: CaptureContext,
  device: string,
  sampled: number,
) {
  const { direction, protocol, source, destination, sourcePort, destinationPort } = describeKey(key);
  const isIpv6 = source.includes(':');
  const drops = entry.drops - entry.dropsLogged;
  const record = {
    flowStartMilliseconds: new Date(entry.loggedUntil).toISOString(),
    flowEndMilliseconds: new Date(entry.last).toISOString(),
    /** 1 idle timeout, 2 active timeout, 3 end of flow, 5 lack of resources. */
    flowEndReason: reason,
    /** 0 ingress, 1 egress. */
    flowDirection: direction === 'egress' ? 1 : 0,
    protocolIdentifier: elementAt(key, 0) & 0xff,
    sourceIPv4Address: isIpv6 ? undefined : source,
    destinationIPv4Address: isIpv6 ? undefined : destination,
    sourceIPv6Address: isIpv6 ? source : undefined,
    destinationIPv6Address: isIpv6 ? destination : undefined,
    sourceTransportPort: sourcePort ?? undefined,
    destinationTransportPort: destinationPort ?? undefined,
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

const address = text('an address', 'address');
const port = integer(0, 65_535, 'port');
const tupleFields = {
  sourceIPv4Address: address,
  destinationIPv4Address: address,
  sourceIPv6Address: address,
  destinationIPv6Address: address,
  sourceTransportPort: port,
  destinationTransportPort: port,
  ripstop: required(
    openObject({ protocol: required(text('a protocol', 'name of the protocol')) }, 'ripstop'),
  ),
};

/** Reads the 5-tuple of a line of the flow log. @throws RipstopError ECONFIG */
export function readFiveTuple(line: string): FiveTuple {
  const record = readKnown(tupleFields, parseJson(line, 'flow'), 'flow');
  return {
    protocol: record.ripstop.protocol,
    source: record.sourceIPv4Address ?? record.sourceIPv6Address ?? '',
    sourcePort: record.sourceTransportPort ?? null,
    destination: record.destinationIPv4Address ?? record.destinationIPv6Address ?? '',
    destinationPort: record.destinationTransportPort ?? null,
  };
}
