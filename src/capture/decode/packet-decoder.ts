import { formatIp, viewOf } from '../../../encap/wire/addresses.ts';
import { NEEDS_CHECKSUM } from '../../../encap/wire/vnet-hdr.ts';
import { elementAt } from '../../base/at.ts';
import { errnoName } from '../../base/errors.ts';
import * as point from '../../dataplane/tap/record-layout.ts';
import { type CaptureInterface, LINK_ETHERNET, LINK_RAW, type Packet } from '../format/packet.ts';
import { type CaptureContext, encapsulationOf, peerName } from '../live/context.ts';
import { NO_NAMES, type PodLookup } from '../live/pods.ts';
import type { CaptureRecord, GsoFields } from '../live/record.ts';
import type { RecordDecoder } from '../run.ts';
import { egressHeader, synthesizeOuter, unknownFields } from './outer-header.ts';
import { type PodPair, PodPairs, podPairText } from './pod-pair.ts';
import { packetCount, type Slice, segmentGso } from './segments.ts';

const DESCRIPTIONS: Readonly<Record<point.PointName, string>> = {
  'egress-inner': 'frames read from the device',
  'egress-outer': 'datagrams to the underlay; not known of their headers: IPv6 flow label',
  'ingress-outer':
    'datagrams from the underlay; not known of their headers: MAC addresses, IPv4 identification and DF, UDP checksum',
  'ingress-inner': 'frames written to the device',
  drop: 'dropped frames and datagrams, each with its reason',
};

const OUTER_POINTS = point.EGRESS_OUTER | point.INGRESS_OUTER;

export interface PacketDecoderOptions {
  /** Bits of the points to show, one interface each. */
  readonly points: number;
  /** Bytes to keep of a packet, 0 for all. */
  readonly snapLength: number;
  /** Split GSO packets into segments and fill in partial checksums. */
  readonly segments: boolean;
  /** Capture filter, for the interface blocks. */
  readonly filter?: string | undefined;
  /** The format does not name points: a dropped packet is not shown at `drop` where its first point shows it already. */
  readonly isNameless?: boolean | undefined;
  /** Pods to name in the comments. */
  readonly pods?: PodLookup | undefined;
}

/** Decodes the records of the workers into the packets of a capture file. */
export class PacketDecoder implements RecordDecoder<CaptureRecord> {
  /** One interface per point, in the order of POINT_NAMES. */
  readonly interfaces: readonly CaptureInterface[];
  readonly #context: CaptureContext;
  readonly #options: PacketDecoderOptions;
  readonly #link: 'ethernet' | 'ip';
  readonly #pods: PodPairs;
  /** Index of a point's interface, by the number of the point. */
  readonly #indices: number[] = [];

  constructor(context: CaptureContext, options: PacketDecoderOptions) {
    this.#context = context;
    this.#options = options;
    this.#link = encapsulationOf(context).inner;
    this.#pods = new PodPairs(options.pods ?? NO_NAMES, this.#link);
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

  shown(record: CaptureRecord): number[] {
    const points = this.#visible(record.points);
    return this.#indices.filter((_, number) => points & (1 << number));
  }

  /** Those of the points of a frame that are shown. */
  #visible(passed: number): number {
    const points = passed & this.#options.points;
    const isTwice = this.#options.isNameless && (points & ~point.DROP) !== 0;
    return isTwice ? points & ~point.DROP : points;
  }

  /** What was lost before a record, by interface: a frame that was lost is missing at each point that it had passed. */
  lost({ direction, lost }: CaptureRecord): { readonly interface: number; readonly packets: number }[] {
    if (lost.all === 0) return [];
    const first = direction === 'egress' ? point.EGRESS_INNER : point.INGRESS_OUTER;
    const last = direction === 'egress' ? point.EGRESS_OUTER : point.INGRESS_INNER;
    return this.#indices.flatMap((index, number) => {
      const bit = 1 << number;
      const isDrop = bit === (this.#visible(first | point.DROP) & point.DROP);
      const packets = bit === first ? lost.all : bit === last ? lost.forwarded : isDrop ? lost.dropped : 0;
      return packets > 0 ? [{ interface: index, packets }] : [];
    });
  }

  /** The packets of a record, point by point; a record may have none to show. */
  packets(record: CaptureRecord): Packet[] {
    const packets: Packet[] = [];
    for (const number of point.POINT_NAMES.keys()) {
      const bit = 1 << number;
      if ((this.#visible(record.points) & bit) === 0) continue;
      for (const slice of this.#slices(record, bit)) packets.push(this.#packet(record, number, slice));
    }
    return packets;
  }

  /** The inner frame, of either direction. */
  inner(record: CaptureRecord): Slice {
    if (record.direction === 'egress') return record;
    const { headerBytes } = encapsulationOf(this.#context);
    return { bytes: record.bytes.subarray(headerBytes), length: Math.max(0, record.length - headerBytes) };
  }

  /** The pods at the ends of the inner frame. */
  pods(record: CaptureRecord): PodPair {
    return this.#pods.of(this.inner(record), record.time);
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
    // A received datagram is shown as it came: what it left to the receiver is not completed.
    const isWhole = record.direction === 'ingress' || !this.#options.segments;
    const whole = isWhole ? this.outer(record) : undefined;
    if (whole || record.direction === 'ingress') return whole ? [whole] : [];
    // A GSO packet too large for the length field of one datagram can only be shown in segments.
    const { isRemote } = egressHeader(record, this.#context);
    const segments = segmentGso(record, record.offload, this.#link, isRemote);
    return segments.flatMap(
      (slice, index) =>
        synthesizeOuter(record, slice, this.#context, { index, count: segments.length }) ?? [],
    );
  }

  #packet(record: CaptureRecord, number: number, slice: Slice): Packet {
    const snap = this.#options.snapLength || slice.bytes.length;
    const pods = this.pods(record);
    return {
      interface: elementAt(this.#indices, number),
      time: timeAt(record, 1 << number),
      bytes: slice.bytes.subarray(0, snap),
      length: slice.length,
      direction: record.direction === 'egress' ? 'out' : 'in',
      comments: this.#comments(record, number, pods),
      pods,
    };
  }

  #comments(record: CaptureRecord, number: number, pair: PodPair): string[] {
    const verdict = this.#context.verdicts[record.verdict];
    const name = verdict?.name ?? `verdict ${record.verdict}`;
    const peer = record.remote && peerName(record.remote);
    const fate = verdict?.drop ? `drop: ${name}, ${verdict.meaning}` : name;
    const failed = record.error > 0 ? `, ${errnoName(record.error)}` : '';
    const comments = [`${fate}${failed}${peer ? `; peer ${peer}` : ''}`];
    const pods = podPairText(pair);
    if (pods) comments.push(pods);
    const isWhole = !this.#options.segments && record.direction === 'egress';
    const offload = isWhole ? offloadComment(record, record.offload, this.#link) : undefined;
    if (offload) comments.push(offload);
    const unknown = (1 << number) & OUTER_POINTS ? unknownFields(record, this.#context) : [];
    if (unknown.length > 0) comments.push(`${NOT_KNOWN} ${unknown.join(', ')}`);
    return comments;
  }
}

/** How a captured frame differs from the packets on the wire, undefined if it does not. */
export function offloadComment(
  frame: Slice,
  offload: GsoFields,
  link: 'ethernet' | 'ip',
): string | undefined {
  const count = packetCount(frame, offload, link);
  if (count > 1)
    return `${GSO_PACKET} ${count} segments, ${offload.gsoSize} bytes of payload each; partial checksums`;
  return offload.flags & NEEDS_CHECKSUM ? 'partial checksum' : undefined;
}

/**
 * Time of a record at one of its points. The first point is passed when its batch is read, `egress-outer` when the batch goes to be
 * sent, which is before any of it is on the wire, and the others when the batch is done.
 */
function timeAt({ time, tookNs, decidedNs }: CaptureRecord, bit: number): bigint {
  if (tookNs === 0) return time;
  const read = time - BigInt(tookNs);
  if (bit === point.EGRESS_INNER || bit === point.INGRESS_OUTER) return read;
  return bit === point.EGRESS_OUTER ? read + BigInt(decidedNs) : time;
}

const NOT_KNOWN = 'not known of the outer headers:';

/** True for a comment about header fields, which a line of text does not show. */
export function isHeaderComment(comment: string): boolean {
  return comment.startsWith(NOT_KNOWN);
}

const GSO_PACKET = 'GSO packet of';
const GSO_COMMENT = new RegExp(`^${GSO_PACKET} \\d+ segments, (\\d+) bytes`);

/** Payload bytes of a segment that the comments of a packet give, undefined for a packet that is no GSO packet. */
export function gsoComment(comments: readonly string[]): number | undefined {
  for (const comment of comments) {
    const [, size] = GSO_COMMENT.exec(comment) ?? [];
    if (size !== undefined) return Number(size);
  }
  return undefined;
}
