import { formatIp, viewOf } from '../../../encap/wire/addresses.ts';
import { NEEDS_CHECKSUM } from '../../../encap/wire/vnet-hdr.ts';
import { elementAt } from '../../base/at.ts';
import { errnoName } from '../../base/errors.ts';
import * as point from '../../dataplane/tap/record-layout.ts';
import { type CaptureInterface, LINK_ETHERNET, LINK_RAW, type Packet } from '../format/packet.ts';
import { type CaptureContext, encapsulationOf, peerName } from '../live/context.ts';
import type { CaptureRecord } from '../live/record.ts';
import { synthesizeOuter } from './outer-header.ts';
import { packetCount, type Slice, segmentGso } from './segments.ts';

const DESCRIPTIONS: Readonly<Record<point.PointName, string>> = {
  'egress-inner': 'frames read from the device',
  'egress-outer': 'datagrams to the underlay; outer headers reconstructed from the peer table',
  'ingress-outer': 'datagrams from the underlay; outer headers reconstructed from the source address',
  'ingress-inner': 'frames written to the device',
  drop: 'dropped frames and datagrams, each with its reason',
};

export interface PacketDecoderOptions {
  /** Bits of the points to show, one interface each. */
  readonly points: number;
  /** Bytes to keep of a packet, 0 for all. */
  readonly snapLength: number;
  /** Split GSO packets into segments and fill in partial checksums. */
  readonly segments: boolean;
  /** Capture filter, for the interface blocks. */
  readonly filter?: string | undefined;
}

/** Decodes the records of the workers into the packets of a capture file. */
export class PacketDecoder {
  /** One interface per point, in the order of POINT_NAMES. */
  readonly interfaces: readonly CaptureInterface[];
  readonly #context: CaptureContext;
  readonly #options: PacketDecoderOptions;
  readonly #link: 'ethernet' | 'ip';
  /** Index of a point's interface, by the number of the point. */
  readonly #indices: number[] = [];

  constructor(context: CaptureContext, options: PacketDecoderOptions) {
    this.#context = context;
    this.#options = options;
    this.#link = encapsulationOf(context).inner;
    const interfaces: CaptureInterface[] = [];
    for (const [number, name] of point.POINT_NAMES.entries()) {
      if ((options.points & (1 << number)) === 0) continue;
      this.#indices[number] = interfaces.length;
      interfaces.push({
        name,
        description: DESCRIPTIONS[name],
        // Inner frames of `udp` mode are bare IP, and its datagrams are shown so too: one classic file holds both.
        link: this.#link === 'ethernet' ? LINK_ETHERNET : LINK_RAW,
        snapLength: options.snapLength,
        ...(options.filter ? { filter: options.filter } : {}),
      });
    }
    this.interfaces = interfaces;
  }

  /** Indices of the interfaces that a record has packets for. */
  shown(record: CaptureRecord): number[] {
    const points = record.points & this.#options.points;
    return this.#indices.filter((_, number) => points & (1 << number));
  }

  /** The packets of a record, point by point; a record may have none to show. */
  packets(record: CaptureRecord): Packet[] {
    const packets: Packet[] = [];
    let lost = record.lost;
    for (const number of point.POINT_NAMES.keys()) {
      const bit = 1 << number;
      if ((record.points & this.#options.points & bit) === 0) continue;
      for (const slice of this.#slices(record, bit)) {
        packets.push(this.#packet(record, number, slice, lost));
        // Only the first packet reports the loss.
        lost = 0;
      }
    }
    return packets;
  }

  /** The inner frame, of either direction. */
  inner(record: CaptureRecord): Slice {
    if (record.direction === 'egress') return record;
    const { headerBytes } = encapsulationOf(this.#context);
    return { bytes: record.bytes.subarray(headerBytes), length: Math.max(0, record.length - headerBytes) };
  }

  /** The outer datagram, of either direction, undefined if its addresses are unknown. */
  outer(record: CaptureRecord): Slice | undefined {
    return synthesizeOuter(record, record, this.#context);
  }

  /** Underlay source of a datagram as text, undefined on egress. */
  source(record: CaptureRecord): string | undefined {
    return record.address && formatIp(viewOf(record.address), 0);
  }

  #slices(record: CaptureRecord, bit: number): Slice[] {
    const inner = bit === point.EGRESS_INNER || bit === point.INGRESS_INNER;
    if (inner || (bit === point.DROP && record.direction === 'egress')) {
      const frame = this.inner(record);
      return this.#options.segments ? segmentGso(frame, record.offload, this.#link) : [frame];
    }
    const whole = this.#options.segments ? undefined : this.outer(record);
    if (whole) return [whole];
    // A GSO packet too large for the length field of one datagram can only be shown in segments.
    return segmentGso(record, record.offload, this.#link).flatMap(
      slice => synthesizeOuter(record, slice, this.#context) ?? [],
    );
  }

  #packet(record: CaptureRecord, number: number, slice: Slice, lost: number): Packet {
    const snap = this.#options.snapLength || slice.bytes.length;
    return {
      interface: elementAt(this.#indices, number),
      time: record.time,
      bytes: slice.bytes.subarray(0, snap),
      length: slice.length,
      direction: record.direction === 'egress' ? 'out' : 'in',
      comments: this.#comments(record),
      ...(lost > 0 ? { dropped: BigInt(lost) } : {}),
    };
  }

  #comments(record: CaptureRecord): string[] {
    const verdict = this.#context.verdicts[record.verdict];
    const name = verdict?.name ?? `verdict ${record.verdict}`;
    const peer = peerName(this.#context, record.peer);
    const fate = verdict?.drop ? `drop: ${name}, ${verdict.meaning}` : name;
    const failed = record.error > 0 ? `, ${errnoName(record.error)}` : '';
    const comments = [`${fate}${failed}${peer ? `; peer ${peer}` : ''}`];
    const offload = this.#options.segments ? undefined : this.#offload(record);
    if (offload) comments.push(offload);
    return comments;
  }

  /** How a captured frame differs from the packets on the wire, undefined if it does not. */
  #offload(record: CaptureRecord): string | undefined {
    const { offload } = record;
    if (record.direction === 'ingress') return undefined;
    const count = packetCount(record, offload, this.#link);
    if (count > 1)
      return `GSO packet of ${count} segments, ${offload.gsoSize} bytes of payload each; partial checksums`;
    return offload.flags & NEEDS_CHECKSUM ? 'partial checksum' : undefined;
  }
}
