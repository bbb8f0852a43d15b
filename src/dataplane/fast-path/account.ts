import {
  addStat,
  countEgress,
  countIngress,
  countVerdict,
  MESSAGES,
  UNFORWARDED_SEGMENTS,
} from '../descriptor/counters.ts';
import type { Batch } from '../descriptor/descriptor.ts';
import {
  DESC_CSUM_START,
  DESC_GSO_SIZE,
  DESC_LENGTH,
  DESC_OFFLOAD,
  DESC_OFFSET,
  DESC_PEER,
  DESC_SOURCE,
  DESC_STRIDE,
  DESC_VERDICT,
} from '../descriptor/descriptor.ts';
import { FORWARD } from '../descriptor/verdicts.ts';

/**
 * Counts what became of the frames of a batch, at least one: by verdict and, where they went on, by peer. Neighbours in a batch
 * mostly share both, so sums are carried until one of them changes.
 * @param egress 1 for egress, 0 for ingress
 * @returns the verdicts of the batch: bit n for verdict n
 * @hot
 */
export function accountBatch(block: Float64Array, batch: Batch, count: number, egress: number): number {
  const table = batch.table;
  let verdicts = 0;
  let verdict = -1;
  let peer = -1;
  let frames = 0;
  let bytes = 0;
  for (let i = 0; i < count; i++) {
    const at = i * DESC_STRIDE;
    if (table[at + DESC_VERDICT] !== verdict || table[at + DESC_PEER] !== peer) {
      if (frames > 0) countRun(block, verdict, peer, frames, bytes, egress);
      verdict = table[at + DESC_VERDICT]!;
      verdicts |= 1 << verdict;
      peer = table[at + DESC_PEER]!;
      frames = 0;
      bytes = 0;
    }
    frames++;
    bytes += table[at + DESC_LENGTH]!;
    // The segments of a forwarded frame are counted where they are sent.
    if (verdict !== FORWARD && egress === 1) addStat(block, UNFORWARDED_SEGMENTS, segmentsOf(batch, at));
  }
  if (frames > 0) countRun(block, verdict, peer, frames, bytes, egress);
  // Messages are numbered in the order of their datagrams.
  if (egress === 0) addStat(block, MESSAGES, table[(count - 1) * DESC_STRIDE + DESC_SOURCE]! + 1);
  return verdicts;
}

/** @hot */
function countRun(
  block: Float64Array,
  verdict: number,
  peer: number,
  frames: number,
  bytes: number,
  egress: number,
): void {
  countVerdict(block, verdict, frames, bytes);
  if (verdict !== FORWARD || peer < 0) return;
  if (egress === 1) countEgress(block, peer, frames, bytes);
  else countIngress(block, peer, frames, bytes);
}

/** virtio-net gso_type of UDP_SEGMENT (linux/virtio_net.h); the other types are TCP. */
const GSO_UDP_L4 = 5;
const GSO_TYPE_MASK = 0x7f;
const UDP_HEADER_BYTES = 8;

/**
 * Packets that a frame from the device stands for, 1 without GSO.
 * @hot
 */
function segmentsOf(batch: Batch, at: number): number {
  const { table, slab } = batch;
  const size = table[at + DESC_GSO_SIZE]!;
  if (size <= 0) return 1;
  const transport = table[at + DESC_CSUM_START]!;
  const isUdp = ((table[at + DESC_OFFLOAD]! >> 8) & GSO_TYPE_MASK) === GSO_UDP_L4;
  const header = isUdp ? UDP_HEADER_BYTES : (slab[table[at + DESC_OFFSET]! + transport + 12]! >> 4) << 2;
  return Math.max(1, Math.ceil((table[at + DESC_LENGTH]! - transport - header) / size));
}
