import { elementAt } from '../../base/at.ts';
import {
  described,
  integer,
  nullable,
  number,
  openObject,
  readJson,
  record,
  required,
  string,
} from '../../base/schema.ts';
import type { FlowEntry } from './flow-entry.ts';
import type { FiveTuple } from './flow-filter.ts';
import { describeKey, describePeer, type FlowNames } from './flow-report.ts';

const port = integer(0, 65_535, 'port; absent for a protocol without ports');
const pod = (part: string, end: string) =>
  described(`${part} of the pod with the ${end} address; absent if it is no pod of this node`, string);
const counted = (doc: string) => required(described(doc, number));

/**
 * One line of the flow log: what a flow did since its previous line. The names are the information elements of IPFIX
 * (https://www.iana.org/assignments/ipfix), so a collector that accepts IPFIX as JSON accepts these lines. What has no
 * IPFIX element is under `ripstop`, except `format` and `lostRecords`. The names of pods are elements of Antrea's exporter.
 * docs/decisions/0074-flow-table.md explains why there is no binary IPFIX.
 */
export const flowRecordField = openObject(
  {
    lostRecords: described('lines that were left out before this one; absent without any', number),
    flowStartMilliseconds: required(described('begin of the time that the line is about', string)),
    flowEndMilliseconds: required(described('time of the last packet', string)),
    flowEndReason: counted('1 idle timeout, 2 active timeout, 3 end of flow, 5 lack of resources'),
    flowDirection: counted('0 ingress, 1 egress'),
    protocolIdentifier: counted('number of the IP protocol'),
    sourceIPv4Address: described('of an IPv4 packet', string),
    destinationIPv4Address: described('of an IPv4 packet', string),
    sourceIPv6Address: described('of an IPv6 packet', string),
    destinationIPv6Address: described('of an IPv6 packet', string),
    sourceTransportPort: port,
    destinationTransportPort: port,
    sourcePodNamespace: pod('namespace', 'source'),
    sourcePodName: pod('name', 'source'),
    destinationPodNamespace: pod('namespace', 'destination'),
    destinationPodName: pod('name', 'destination'),
    packetDeltaCount: counted('forwarded packets'),
    octetDeltaCount: counted('their IP bytes'),
    droppedPacketDeltaCount: counted('packets dropped by this node'),
    samplingProbability: counted(
      'share of the frames that was sampled; below 1 the counts are scaled estimates',
    ),
    ripstop: required(
      described(
        'what IPFIX has no element for',
        record({
          device: described('device of the overlay', string),
          protocol: described('`tcp`, `udp`, `icmp`, `icmp6`, `sctp`, or the number', string),
          peer: described('name of the peer; null without one', nullable(string)),
          peerAddress: described('its underlay address', nullable(string)),
          retransmissions: described('retransmitted TCP segments', number),
          rttMs: described('smoothed round-trip time, ms; null if unknown', nullable(number)),
          dropReason: described('verdict of the last dropped packet; null without one', nullable(string)),
        }),
      ),
    ),
  },
  '',
);

export interface FlowRecord extends ReturnType<typeof logFlow> {
  readonly lostRecords?: number;
}

/** flowEndReason of a flow that continues. */
export const ACTIVE_TIMEOUT = 2;

/** The line for what a flow did since its previous line. */
export function logFlow(
  key: Int32Array,
  entry: FlowEntry,
  reason: number,
  context: FlowNames,
  device: string,
  sampled: number,
) {
  const { direction, protocol, source, destination, sourcePort, destinationPort } = describeKey(key);
  const isIpv6 = source.includes(':');
  const drops = entry.drops - entry.dropsLogged;
  const line = {
    format: 'ripstop-flow/1',
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
  return line;
}

/** Reads the 5-tuple of a line of the flow log. @throws RipstopError ECONFIG */
export function readFiveTuple(line: string): FiveTuple {
  const flow = readJson(flowRecordField, line, 'flow');
  return {
    protocol: flow.ripstop.protocol,
    source: flow.sourceIPv4Address ?? flow.sourceIPv6Address ?? '',
    sourcePort: flow.sourceTransportPort ?? null,
    destination: flow.destinationIPv4Address ?? flow.destinationIPv6Address ?? '',
    destinationPort: flow.destinationTransportPort ?? null,
  };
}
