/*
 * The record of a frame in the rings of the flight recorder: 40 int32 words of which the last 25 are the first bytes of
 * the frame. It has what the record of a capture has (`record-layout.ts`), packed, since the ring has many of them.
 */

import {
  type Batch,
  DESC_CSUM_OFFSET,
  DESC_CSUM_START,
  DESC_ERROR,
  DESC_GSO_SIZE,
  DESC_LENGTH,
  DESC_OFFLOAD,
  DESC_OFFSET,
  DESC_PEER,
  DESC_SEGMENTS,
  DESC_SOCKET,
  DESC_SOURCE,
  DESC_STRIDE,
  DESC_VERDICT,
} from '../descriptor/descriptor.ts';
import { SOURCE_ADDRESS, SOURCE_PORT, SOURCE_STRIDE } from '../descriptor/source.ts';
import { OUTER_MASK } from '../descriptor/verdict-masks.ts';
import { type BatchTimes, KIND_EGRESS } from './record-layout.ts';

export const KEPT_SECONDS = 0;
export const KEPT_NANOSECONDS = 1;
/** Length in the low 24 bits, verdict above. */
export const KEPT_LENGTH_AND_VERDICT = 2;
/** Peer slot in the low 16 bits, NO_KEPT_PEER for none; errno above. */
export const KEPT_PEER_AND_ERROR = 3;
export const NO_KEPT_PEER = 0xffff;
/** virtio-net flags and type in the low 16 bits, gso_size above. */
export const KEPT_OFFLOAD = 4;
/** csum_start in the low 16 bits, csum_offset above. */
export const KEPT_CHECKSUM = 5;
/** Segments in the low 16 bits; UDP source port (ingress) or DESC_SOCKET (egress) above. */
export const KEPT_SEGMENTS_AND_PORT = 6;
export const KEPT_GENERATION = 7;
/** Ingress: underlay source address, four words. Egress: not written. */
export const KEPT_ADDRESS = 8;
/** As RECORD_LATENCY_AND_PADDING and RECORD_DECIDED. */
export const KEPT_LATENCY_AND_PADDING = 12;
export const KEPT_DECIDED = 13;
/** Records of losses: number of the frame among all that its worker lost with the same verdict, from 1, modulo 2^32. */
export const KEPT_NUMBER = 14;
export const KEPT_DATA = 15;
const KEPT_DATA_WORDS = 25;
export const KEPT_WORDS = KEPT_DATA + KEPT_DATA_WORDS;

/** Bytes of a frame that are kept: VXLAN, Ethernet with a tag, IPv6 and TCP with timestamps. Three more are padding. */
export const KEPT_SNAP = 4 * KEPT_DATA_WORDS - 4;

/** What a recorder copies from. */
export interface KeptSource {
  readonly table: Int32Array;
  /** The slab as words. */
  readonly slab: Int32Array;
  /** KIND_EGRESS or KIND_INGRESS. */
  readonly direction: number;
  /** Ingress: bytes of the encapsulation header. */
  readonly headerBytes: number;
}

/** The source of a worker's recorders. */
export function keptSource(batch: Batch, direction: number, headerBytes: number): KeptSource {
  const { buffer, byteOffset, byteLength } = batch.slab;
  return {
    table: batch.table,
    slab: new Int32Array(buffer, byteOffset, byteLength >> 2),
    direction,
    headerBytes: direction === KIND_EGRESS ? 0 : headerBytes,
  };
}

/**
 * Writes the record of descriptor `index`.
 * @param words of the ring
 * @param to index of its first word
 * @param sources source addresses of the batch; not used on egress
 * @hot
 */
export function writeKept(
  words: Int32Array,
  to: number,
  source: KeptSource,
  index: number,
  sources: Int32Array,
  times: BatchTimes,
): void {
  const { table, slab, direction, headerBytes } = source;
  const at = index * DESC_STRIDE;
  const verdict = table[at + DESC_VERDICT]!;
  const front = ((OUTER_MASK >>> verdict) & 1) === 0 ? headerBytes : 0;
  const offset = table[at + DESC_OFFSET]! - front;
  const length = table[at + DESC_LENGTH]! + front;
  const padding = offset & 3;
  words[to + KEPT_SECONDS] = times.seconds;
  words[to + KEPT_NANOSECONDS] = times.nanoseconds;
  words[to + KEPT_LENGTH_AND_VERDICT] = length | (verdict << 24);
  words[to + KEPT_PEER_AND_ERROR] = (table[at + DESC_PEER]! & 0xffff) | (table[at + DESC_ERROR]! << 16);
  words[to + KEPT_OFFLOAD] = (table[at + DESC_OFFLOAD]! & 0xffff) | (table[at + DESC_GSO_SIZE]! << 16);
  words[to + KEPT_CHECKSUM] = (table[at + DESC_CSUM_START]! & 0xffff) | (table[at + DESC_CSUM_OFFSET]! << 16);
  let port = table[at + DESC_SOCKET]!;
  if (direction !== KIND_EGRESS) {
    const from = table[at + DESC_SOURCE]! * SOURCE_STRIDE;
    port = sources[from + SOURCE_PORT]!;
    words[to + KEPT_ADDRESS] = sources[from + SOURCE_ADDRESS]!;
    words[to + KEPT_ADDRESS + 1] = sources[from + SOURCE_ADDRESS + 1]!;
    words[to + KEPT_ADDRESS + 2] = sources[from + SOURCE_ADDRESS + 2]!;
    words[to + KEPT_ADDRESS + 3] = sources[from + SOURCE_ADDRESS + 3]!;
  }
  words[to + KEPT_SEGMENTS_AND_PORT] = (table[at + DESC_SEGMENTS]! & 0xffff) | (port << 16);
  words[to + KEPT_GENERATION] = times.generation;
  words[to + KEPT_LATENCY_AND_PADDING] = (times.tookNs << 2) | padding;
  words[to + KEPT_DECIDED] = times.decidedNs;
  copyData(words, to + KEPT_DATA, slab, offset >> 2, (padding + length + 3) >> 2);
}

/**
 * Copies KEPT_DATA_WORDS words, eight at a time: a copy word by word takes twice as long. Words beyond the frame are copied
 * too where there are some; readers leave them out.
 * @param count words of the frame
 * @hot
 */
function copyData(words: Int32Array, to: number, slab: Int32Array, from: number, count: number): void {
  if (from + KEPT_DATA_WORDS > slab.length) {
    for (let word = 0; word < KEPT_DATA_WORDS && word < count; word++) words[to + word] = slab[from + word]!;
    return;
  }
  for (let word = 0; word < KEPT_DATA_WORDS - 1; word += 8) {
    const target = to + word;
    const source = from + word;
    words[target] = slab[source]!;
    words[target + 1] = slab[source + 1]!;
    words[target + 2] = slab[source + 2]!;
    words[target + 3] = slab[source + 3]!;
    words[target + 4] = slab[source + 4]!;
    words[target + 5] = slab[source + 5]!;
    words[target + 6] = slab[source + 6]!;
    words[target + 7] = slab[source + 7]!;
  }
  words[to + KEPT_DATA_WORDS - 1] = slab[from + KEPT_DATA_WORDS - 1]!;
}
