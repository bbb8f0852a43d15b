import { elementAt } from '../../base/at.ts';
import {
  type Field,
  fail,
  integer,
  objectOf,
  readObject,
  required,
  type Shape,
  text,
  withDefault,
} from '../../base/schema.ts';
import type { CaptureContext } from '../live/context.ts';
import type { FlowEntry } from './flow-entry.ts';
import type { FiveTuple } from './flow-filter.ts';
import { describeKey, describePeer } from './flow-report.ts';

const count: Field<number> = {
  type: 'a number',
  doc: 'count',
  read: (raw, where) =>
    typeof raw === 'number' ? raw : fail(where, `${JSON.stringify(raw)} is not a number`),
};
const time = text('an ISO time', 'time');
const address = text('an address', 'address');
const port = integer(0, 65_535, 'port');

/**
 * One line of the flow log: what a flow did since its previous line. The names are the information elements of IPFIX
 * (https://www.iana.org/assignments/ipfix), so a collector that accepts IPFIX as JSON accepts these lines; fields
 * without an IPFIX element stand under `ripstop`. docs/decisions/0074-flow-table.md says why there is no binary IPFIX.
 */
const recordFields = {
  flowStartMilliseconds: required(time),
  flowEndMilliseconds: required(time),
  /** 1 idle timeout, 2 active timeout, 3 end of flow, 5 lack of resources. */
  flowEndReason: required(count),
  /** 0 ingress, 1 egress. */
  flowDirection: required(count),
  protocolIdentifier: required(count),
  sourceIPv4Address: address,
  destinationIPv4Address: address,
  sourceIPv6Address: address,
  destinationIPv6Address: address,
  sourceTransportPort: port,
  destinationTransportPort: port,
  packetDeltaCount: required(count),
  octetDeltaCount: required(count),
  droppedPacketDeltaCount: required(count),
  samplingProbability: required(count),
  /** Lines that were left out before this one. */
  lostRecords: count,
  ripstop: required(
    objectOf(
      {
        device: required(text('a device', 'overlay device')),
        protocol: required(text('a protocol', 'name of the protocol')),
        peer: withDefault<string | null>(text('a name', 'peer'), null),
        peerAddress: withDefault<string | null>(address, null),
        retransmissions: required(count),
        rttMs: withDefault<number | null>(count, null),
        dropReason: withDefault<string | null>(text('a verdict', 'verdict of the last drop'), null),
      },
      'fields without an element of IPFIX',
    ),
  ),
};

export type FlowRecord = Readonly<Shape<typeof recordFields>>;

/** Reads a line of the flow log. @throws RipstopError ECONFIG */
export function readFlowRecord(line: string): FlowRecord {
  return readObject(recordFields, JSON.parse(line), 'flow');
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
): FlowRecord {
  const { direction, protocol, source, destination, sourcePort, destinationPort } = describeKey(key);
  const isIpv6 = source.includes(':');
  const drops = entry.drops - entry.dropsLogged;
  const record = {
    flowStartMilliseconds: new Date(entry.loggedUntil).toISOString(),
    flowEndMilliseconds: new Date(entry.last).toISOString(),
    flowEndReason: reason,
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
    lostRecords: undefined,
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
export function fiveTupleOf(record: FlowRecord): FiveTuple {
  return {
    protocol: record.ripstop.protocol,
    source: record.sourceIPv4Address ?? record.sourceIPv6Address ?? '',
    sourcePort: record.sourceTransportPort ?? null,
    destination: record.destinationIPv4Address ?? record.destinationIPv6Address ?? '',
    destinationPort: record.destinationTransportPort ?? null,
  };
}
