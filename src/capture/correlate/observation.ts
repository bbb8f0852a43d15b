import { viewOf } from '../../../encap/wire/addresses.ts';
import * as ipv4 from '../../../encap/wire/ipv4.ts';
import * as ipv6 from '../../../encap/wire/ipv6.ts';
import { linkBytes } from '../../../encap/wire/vlan.ts';
import { type Cut, onTheWire } from '../decode/segments.ts';
import { describePacket } from '../decode/text.ts';
import { EGRESS, FlowFields, INGRESS } from '../flows/flow-fields.ts';
import type { FlowEnds } from '../flows/flow-filter.ts';
import { describeKey } from '../flows/flow-report.ts';
import { type CaptureContext, encapsulationOf } from '../live/context.ts';
import type { CaptureRecord } from '../live/record.ts';

/** One packet at one node. */
export interface Sighting {
  /** Equal for the same packet at both nodes. */
  readonly identity: string;
  /** The packet in words; made when asked for. */
  readonly describe: () => string;
  readonly direction: 'egress' | 'ingress';
  /** Nanoseconds since 1970-01-01 UTC: read by the forwarder, and done with. */
  readonly readAt: bigint;
  readonly doneAt: bigint;
  readonly verdict: number;
  /** Peer slot, -1 for none. */
  readonly peer: number;
  /** errno, 0 for none. */
  readonly error: number;
}

/** What of a packet its identity is made of behind the headers: enough to tell two datagrams of one flow apart. */
const PAYLOAD_BYTES = 64;

/** Makes sightings of the records of one node. */
export class Sightings {
  readonly #context: CaptureContext;
  readonly #wanted: (flow: FlowEnds) => boolean;
  readonly #fields = new FlowFields();
  readonly #link: 'ethernet' | 'ip';
  readonly #headerBytes: number;

  /** @param wanted which 5-tuples */
  constructor(context: CaptureContext, wanted: (flow: FlowEnds) => boolean) {
    this.#context = context;
    this.#wanted = wanted;
    const { inner, headerBytes } = encapsulationOf(context);
    this.#link = inner;
    this.#headerBytes = headerBytes;
  }

  get context(): CaptureContext {
    return this.#context;
  }

  /** The wanted packets of a record; a superframe is several. */
  of(record: CaptureRecord): Sighting[] {
    const isEgress = record.direction === 'egress';
    const front = isEgress ? 0 : this.#headerBytes;
    const frame: Cut = { bytes: record.bytes.subarray(front), length: record.length - front };
    const { bytes, length } = frame;
    const direction = isEgress ? EGRESS : INGRESS;
    const isIp = this.#fields.read(viewOf(bytes), 0, bytes.length, length, this.#link, 0, direction);
    if (!isIp || !this.#wanted(describeKey(this.#fields.key))) return [];
    const isSuperframe = isEgress && record.offload.gsoSize > 0;
    const cuts = isSuperframe ? onTheWire(frame, record.offload, this.#link) : [frame];
    const { direction: way, verdict, peer, error, time } = record;
    const common = {
      direction: way,
      readAt: time - BigInt(record.tookNs),
      doneAt: time,
      verdict,
      peer,
      error,
    };
    return cuts.map(cut => ({
      ...common,
      identity: identityOf(cut, this.#link),
      describe: () => describePacket(cut.bytes, this.#link, { length: cut.length }),
    }));
  }
}

/**
 * What stays the same of a packet from one node to the other: addresses, identification, length, the upper header but
 * for its checksum, and of anything but TCP the first bytes of the payload. TTL, TOS and checksums may change, and a
 * checksum may not be there yet. Of TCP the sequence number says enough, and the segments of a superframe of which only
 * the first bytes were captured have nothing else.
 */
export function identityOf({ bytes, length }: Cut, link: 'ethernet' | 'ip'): string {
  const l3 = link === 'ethernet' ? linkBytes(viewOf(bytes), 0, bytes.length) : 0;
  const packet = bytes.slice(l3);
  const view = viewOf(packet);
  const isIpv4 = packet.length >= ipv4.MIN_BYTES && packet[0]! >> 4 === 4;
  const header = isIpv4 ? ipv4.headerBytes(view, 0) : ipv6.BYTES;
  if (packet.length < header) return `${length - l3} ${text(packet)}`;
  const protocol = isIpv4 ? packet[9]! : packet[6]!;
  // TOS or traffic class, TTL or hop limit, header checksum.
  if (isIpv4) packet[1] = packet[8] = packet[10] = packet[11] = 0;
  else {
    packet[0]! &= 0xf0;
    packet[1]! &= 0x0f;
    packet[7] = 0;
  }
  const isTcp = protocol === ipv4.PROTOCOL_TCP;
  const isUdp = protocol === ipv4.PROTOCOL_UDP;
  const checksum = header + (isTcp ? 16 : isUdp ? 6 : -1);
  if (isTcp || isUdp) packet.fill(0, checksum, checksum + 2);
  const upper = isTcp ? ((packet[header + 12] ?? 0x50) >> 4) * 4 : PAYLOAD_BYTES;
  return text(packet.subarray(0, header + upper));
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}
