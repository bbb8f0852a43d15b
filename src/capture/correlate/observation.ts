import { viewOf } from '../../../encap/wire/addresses.ts';
import * as ipv4 from '../../../encap/wire/ipv4.ts';
import * as ipv6 from '../../../encap/wire/ipv6.ts';
import { linkBytes } from '../../../encap/wire/vlan.ts';
import { type Slice, segmentGso } from '../decode/segments.ts';
import { describePacket } from '../decode/text.ts';
import { EGRESS, FlowFields, INGRESS } from '../flows/flow-fields.ts';
import type { FiveTuple } from '../flows/flow-filter.ts';
import { describeKey } from '../flows/flow-report.ts';
import { type CaptureContext, type CapturePeer, encapsulationOf } from '../live/context.ts';
import type { CaptureRecord } from '../live/record.ts';

/** One packet as one node saw it. */
export interface Observation {
  /** Equal for the same packet at both nodes. */
  readonly fingerprint: string;
  /** Inner addresses. */
  readonly source: string;
  readonly destination: string;
  /** Describes the packet in one line. */
  readonly describe: () => string;
  readonly direction: 'egress' | 'ingress';
  /** When the forwarder read the packet and when it finished with it, nanoseconds since 1970-01-01 UTC. */
  readonly readAt: bigint;
  readonly doneAt: bigint;
  readonly verdict: number;
  /** Its peer as it was, undefined for none. */
  readonly remote: CapturePeer | undefined;
  /** errno, 0 for none. */
  readonly error: number;
}

/** Payload bytes in a fingerprint of anything but TCP: enough to distinguish two datagrams of one flow. */
const PAYLOAD_BYTES = 64;

/** Makes observations from the records of one node. */
export class ObservationReader {
  readonly #accepts: (flow: FiveTuple) => boolean;
  readonly #fields = new FlowFields();
  readonly #link: 'ethernet' | 'ip';
  readonly #headerBytes: number;

  /** @param accepts filter by 5-tuple */
  constructor(context: CaptureContext, accepts: (flow: FiveTuple) => boolean) {
    this.#accepts = accepts;
    const { inner, headerBytes } = encapsulationOf(context);
    this.#link = inner;
    this.#headerBytes = headerBytes;
  }

  /** The accepted packets of a record, several for a GSO packet. */
  read(record: CaptureRecord): Observation[] {
    const isEgress = record.direction === 'egress';
    const front = isEgress ? 0 : this.#headerBytes;
    const frame: Slice = { bytes: record.bytes.subarray(front), length: record.length - front };
    const view = viewOf(frame.bytes);
    const direction = isEgress ? EGRESS : INGRESS;
    const isIp = this.#fields.read(view, 0, view.byteLength, frame.length, this.#link, 0, direction);
    if (!isIp) return [];
    const flow = describeKey(this.#fields.key);
    if (!this.#accepts(flow)) return [];
    const isGso = isEgress && record.offload.gsoSize > 0;
    const packets = isGso ? segmentGso(frame, record.offload, this.#link) : [frame];
    return packets.map(packet => ({
      fingerprint: fingerprint(packet, this.#link),
      source: flow.source,
      destination: flow.destination,
      describe: () => describePacket(packet.bytes, this.#link, { length: packet.length }),
      direction: record.direction,
      readAt: record.time - BigInt(record.tookNs),
      doneAt: record.time,
      verdict: record.verdict,
      remote: record.remote,
      error: record.error,
    }));
  }
}

/**
 * The parts of a packet that do not change between the nodes: addresses, identification, length, the upper header
 * without its checksum, and the first bytes of the payload except for TCP. TTL, TOS and checksums may change on the
 * way. The sequence number identifies a TCP segment; the segments of a GSO packet that was captured with a short snap
 * length have no payload to compare.
 */
export function fingerprint({ bytes, length }: Slice, link: 'ethernet' | 'ip'): string {
  const l3 = link === 'ethernet' ? linkBytes(viewOf(bytes), 0, bytes.length) : 0;
  const packet = bytes.slice(l3);
  const view = viewOf(packet);
  const isIpv4 = packet.length >= ipv4.MIN_BYTES && ipv4.version(view, 0) === 4;
  const header = isIpv4 ? ipv4.headerBytes(view, 0) : ipv6.BYTES;
  if (packet.length < header) return `${length - l3} ${text(packet)}`;
  const protocol = isIpv4 ? ipv4.protocol(view, 0) : ipv6.nextHeader(view, 0);
  // TOS or traffic class, TTL or hop limit, header checksum.
  if (isIpv4) packet[1] = packet[8] = packet[10] = packet[11] = 0;
  else {
    view.setUint16(0, view.getUint16(0) & 0xf00f);
    packet[7] = 0;
  }
  const isTcp = protocol === ipv4.PROTOCOL_TCP;
  const isUdp = protocol === ipv4.PROTOCOL_UDP;
  const checksum = header + (isTcp ? 16 : 6);
  if (isTcp || isUdp) packet.fill(0, checksum, checksum + 2);
  const upper = isTcp ? ((packet[header + 12] ?? 0x50) >> 4) * 4 : PAYLOAD_BYTES;
  return text(packet.subarray(0, header + upper));
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}
