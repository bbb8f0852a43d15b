import { countEgress, countIngress, countVerdict } from '../descriptor/counters.ts';
import type { Batch } from '../descriptor/descriptor.ts';
import { DESC_LENGTH, DESC_PEER, DESC_STRIDE, DESC_VERDICT } from '../descriptor/descriptor.ts';
import { FORWARD } from '../descriptor/verdicts.ts';

/**
 * Counts what became of the frames of a batch: by verdict and, where they went on, by peer. Neighbours in a batch
 * mostly share both, so sums are carried until one of them changes.
 * @param egress 1 for egress, 0 for ingress
 * @hot
 */
export function accountBatch(block: Float64Array, batch: Batch, count: number, egress: number): void {
  const table = batch.table;
  let verdict = -1;
  let peer = -1;
  let frames = 0;
  let bytes = 0;
  for (let i = 0; i < count; i++) {
    const at = i * DESC_STRIDE;
    if (table[at + DESC_VERDICT] !== verdict || table[at + DESC_PEER] !== peer) {
      if (frames > 0) countRun(block, verdict, peer, frames, bytes, egress);
      verdict = table[at + DESC_VERDICT]!;
      peer = table[at + DESC_PEER]!;
      frames = 0;
      bytes = 0;
    }
    frames++;
    bytes += table[at + DESC_LENGTH]!;
  }
  if (frames > 0) countRun(block, verdict, peer, frames, bytes, egress);
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
