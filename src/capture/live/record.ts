import { elementAt } from '../../base/at.ts';
import { SOCKET_CLASS_SHIFT, SOCKET_MASK } from '../../dataplane/descriptor/descriptor.ts';
import {
  droppedRecords,
  nextRecord,
  openConsumer,
  type Ring,
  recordKind,
  recordLength,
  release,
} from '../../dataplane/descriptor/ring.ts';
import { FLOW_INFO_CLASS_SHIFT } from '../../dataplane/descriptor/source.ts';
import * as point from '../../dataplane/tap/record-layout.ts';
import type { CapturePeer, OuterLink } from './context.ts';
import type { PeerHistory } from './peer-history.ts';

/** The virtio-net fields of a frame: segmentation and checksums that the sender left to the hardware. */
export interface GsoFields {
  readonly flags: number;
  readonly gsoType: number;
  /** Payload bytes per segment, 0 for none. */
  readonly gsoSize: number;
  readonly csumStart: number;
  readonly csumOffset: number;
}

/** Frames that a worker could not hand to its reader. */
export interface Losses {
  /** All of them, each of which had passed its first point. */
  readonly all: number;
  /** Those that had passed their last point, and those with a verdict that drops. */
  readonly forwarded: number;
  readonly dropped: number;
}

/** One captured frame. */
export interface CaptureRecord {
  readonly direction: 'egress' | 'ingress';
  /** Bits of the points that it passed. 0: it has no frame and tells only what was lost. */
  readonly points: number;
  /** Nanoseconds since 1970-01-01 UTC at which its batch was done: sent or written. */
  readonly time: bigint;
  /** Egress: the frame. Ingress: the UDP payload, encapsulation header and frame. */
  readonly bytes: Uint8Array;
  /** Original length; `bytes` is shorter if the snap length cut it. */
  readonly length: number;
  readonly verdict: number;
  /** Its peer as it was when the frame was handled, undefined for none. */
  readonly remote?: CapturePeer | undefined;
  readonly offload: GsoFields;
  /** Datagrams sent or frames merged. */
  readonly segments: number;
  /** errno of a refused send or write, 0 for none. */
  readonly error: number;
  /** Egress: index of the sending socket. Ingress: UDP source port. */
  readonly port: number;
  /** Ingress: underlay source address, 16 bytes, IPv4 mapped. */
  readonly address?: Uint8Array;
  /** Egress: where its datagrams were in their messages, DESC_PLACES. */
  readonly places: number;
  /** Egress: how the kernel sent to its peer, undefined if that is not known. */
  readonly link?: OuterLink | undefined;
  /** Ingress: TTL or hop limit of the outer header, undefined if it is not known. */
  readonly hopLimit?: number | undefined;
  /** Traffic class and, on ingress, flow label of the outer header, as SOURCE_FLOW_INFO. */
  readonly flowInfo: number;
  /** Ingress: ECN field that the inner header of `bytes` arrived with, where a mark of the outer one replaced it; else 0. */
  readonly arrivedEcn: number;
  /** Nanoseconds from the moment that its batch was read to `time`; 0: not known. */
  readonly tookNs: number;
  /** Nanoseconds from then until the frames of its batch went to be sent or written; 0: not known. */
  readonly decidedNs: number;
  /** What its worker lost since the record before. */
  readonly lost: Losses;
}

export const NO_LOSSES: Losses = { all: 0, forwarded: 0, dropped: 0 };

/** Bits of traffic class and flow label in RECORD_FLOW_INFO. */
const FLOW_INFO_MASK = (1 << point.ARRIVED_ECN_SHIFT) - 1;

/** Maximum number of records of one worker per visit, which bounds the memory of a slow reader. */
const BURST = 4096;

/**
 * Looks at one record in place; it is valid during the call.
 * @param worker index of the ring
 * @param at where its header begins in `view`
 * @param size bytes of header, padding and captured bytes together
 * @param lost what its worker lost since the record before
 */
export type RecordVisitor = (
  worker: number,
  view: DataView,
  at: number,
  size: number,
  kind: number,
  lost: Losses,
) => void;

/** Takes what a worker lost after its last record. @param kind KIND_EGRESS or KIND_INGRESS */
export type LossVisitor = (worker: number, kind: number, lost: Losses) => void;

/** One ring, and how many losses have been told. */
interface Source {
  readonly ring: Ring;
  head: number;
  all: number;
  forwarded: number;
  dropped: number;
}

/** Reads the rings of one tap, one ring per worker. Used by one thread at a time. */
export class TapReader {
  readonly #rings: Source[];

  /** @param memories rings of the tap, one per worker */
  constructor(memories: readonly SharedArrayBuffer[]) {
    this.#rings = memories.map(memory => ({
      ring: openConsumer(memory),
      head: -1,
      all: 0,
      forwarded: 0,
      dropped: 0,
    }));
  }

  /**
   * Visits the records since the last call, of all workers, ordered by time.
   * @param most limit of records; up to one more per worker is visited
   * @returns number of records
   */
  visit(visitor: RecordVisitor, most = BURST * this.#rings.length): number {
    let shown = 0;
    for (const source of this.#rings) source.head = nextRecord(source.ring);
    for (let worker = this.#earliest(); worker >= 0; worker = this.#earliest()) {
      const source = elementAt(this.#rings, worker);
      const { ring, head } = source;
      const word = (index: number) => elementAt(ring.words, (head >> 2) + index);
      const lost = lossesUntil(
        source,
        word(point.RECORD_LOST),
        word(point.RECORD_LOST_FORWARDED),
        word(point.RECORD_LOST_DROPPED),
      );
      visitor(worker, ring.view, head, recordLength(ring, head), recordKind(ring, head), lost);
      shown++;
      // A record that nextRecord() returned must be visited before release().
      source.head = shown < most ? nextRecord(ring) : -1;
    }
    for (const { ring } of this.#rings) release(ring);
    return shown;
  }

  /** Shows what the workers have lost after their last records, so that every loss is told when no record follows it. */
  visitLosses(visitor: LossVisitor): void {
    for (const [worker, source] of this.#rings.entries()) {
      const { ring } = source;
      const lost = lossesUntil(
        source,
        droppedRecords(ring) | 0,
        Atomics.load(ring.control, point.NOTE_LOST_FORWARDED),
        Atomics.load(ring.control, point.NOTE_LOST_DROPPED),
      );
      if (lost !== NO_LOSSES) visitor(worker, Atomics.load(ring.control, point.NOTE_DIRECTION), lost);
    }
  }

  /** Index of the ring with the oldest head, -1 if all are empty. */
  #earliest(): number {
    let earliest = -1;
    let seconds = 0;
    let nanoseconds = 0;
    for (const [worker, { ring, head }] of this.#rings.entries()) {
      if (head < 0) continue;
      const second = elementAt(ring.words, (head >> 2) + point.RECORD_SECONDS);
      const nanosecond = elementAt(ring.words, (head >> 2) + point.RECORD_NANOSECONDS);
      if (earliest >= 0 && (second > seconds || (second === seconds && nanosecond >= nanoseconds))) continue;
      earliest = worker;
      seconds = second;
      nanoseconds = nanosecond;
    }
    return earliest;
  }

  /** Discards the records of an earlier capture; its losses are not counted again. */
  discard(): void {
    while (this.visit(() => {}) > 0);
    this.visitLosses(() => {});
  }
}

/** The peer of a record, as it was when its frame was handled. @param at offset of its header */
export function recordPeer(view: DataView, at: number, peers: PeerHistory): CapturePeer | undefined {
  const word = (index: number) => view.getInt32(at + index * 4, true);
  return peers.at(word(point.RECORD_PEER), word(point.RECORD_GENERATION));
}

/**
 * The increase of a ring's losses, and notes it. A record has the losses at the begin of its batch, which may be fewer than
 * those that were told already.
 */
function lossesUntil(source: Source, all: number, forwarded: number, dropped: number): Losses {
  const increase = {
    all: Math.max(0, (all - source.all) | 0),
    forwarded: Math.max(0, (forwarded - source.forwarded) | 0),
    dropped: Math.max(0, (dropped - source.dropped) | 0),
  };
  if (increase.all === 0 && increase.forwarded === 0 && increase.dropped === 0) return NO_LOSSES;
  source.all = (source.all + increase.all) | 0;
  source.forwarded = (source.forwarded + increase.forwarded) | 0;
  source.dropped = (source.dropped + increase.dropped) | 0;
  return increase;
}

/**
 * Decodes a record in the layout of `record-layout.ts`.
 * @param at offset of its header
 * @param size bytes of header, padding and captured bytes
 * @param lost what its worker lost since the record before
 */
export function decodeRecord(
  view: DataView,
  at: number,
  size: number,
  kind: number,
  lost: Losses,
  peers: PeerHistory,
): CaptureRecord {
  // Workers write words in native byte order, which is little-endian on every supported machine.
  const word = (index: number) => view.getInt32(at + index * 4, true);
  const copy = (offset: number, length: number) =>
    Uint8Array.from(new Uint8Array(view.buffer, view.byteOffset + at + offset, length));
  const start = point.RECORD_HEADER_BYTES + (word(point.RECORD_LATENCY_AND_PADDING) & 3);
  const captured = Math.max(0, Math.min(word(point.RECORD_CAPTURED), size - start));
  const ingress = kind === point.KIND_INGRESS;
  const offload = word(point.RECORD_OFFLOAD);
  const remote = recordPeer(view, at, peers);
  const hopLimit = word(point.RECORD_HOP_LIMIT);
  const flowInfo = word(point.RECORD_FLOW_INFO);
  const port = word(point.RECORD_PORT);
  return {
    direction: ingress ? 'ingress' : 'egress',
    points: word(point.RECORD_POINTS),
    time: BigInt(word(point.RECORD_SECONDS) >>> 0) * 1_000_000_000n + BigInt(word(point.RECORD_NANOSECONDS)),
    bytes: copy(start, captured),
    length: word(point.RECORD_LENGTH),
    verdict: word(point.RECORD_VERDICT),
    remote,
    offload: {
      flags: offload & 0xff,
      gsoType: (offload >>> 8) & 0xff,
      gsoSize: word(point.RECORD_GSO_SIZE),
      csumStart: word(point.RECORD_CSUM_START),
      csumOffset: word(point.RECORD_CSUM_OFFSET),
    },
    segments: word(point.RECORD_SEGMENTS),
    error: word(point.RECORD_ERROR),
    port: ingress ? port : port & SOCKET_MASK,
    tookNs: word(point.RECORD_LATENCY_AND_PADDING) >>> 2,
    decidedNs: word(point.RECORD_DECIDED),
    // The address was copied in words, so its bytes are in network order, as the kernel wrote them.
    ...(ingress ? { address: copy(point.RECORD_ADDRESS * 4, 16) } : {}),
    places: ingress ? 0 : word(point.RECORD_ADDRESS),
    link: ingress || !remote ? undefined : peers.linkTo(remote.address),
    hopLimit: ingress && hopLimit > 0 ? hopLimit : undefined,
    flowInfo: ingress ? flowInfo & FLOW_INFO_MASK : (port >>> SOCKET_CLASS_SHIFT) << FLOW_INFO_CLASS_SHIFT,
    arrivedEcn: ingress ? flowInfo >>> point.ARRIVED_ECN_SHIFT : 0,
    lost,
  };
}
