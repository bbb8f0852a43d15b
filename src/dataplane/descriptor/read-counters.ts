import {
  BATCH_MAX,
  type Counters,
  INGRESS_AT,
  PEER_NUMBERS,
  PEERS_AT,
  STATS_AT,
  VERDICT_NUMBERS,
  WORKER_STATS,
} from './counters.ts';

export interface FrameCount {
  frames: number;
  bytes: number;
}

export interface PeerCount {
  egress: FrameCount;
  ingress: FrameCount;
}

export type WorkerStats = Record<(typeof WORKER_STATS)[number]['name'], number>;

/** Frames and bytes of a verdict, all workers together. */
export function verdictCount(counters: Counters, verdict: number): FrameCount {
  return sumOf(counters, verdict * VERDICT_NUMBERS);
}

/** Frames and bytes to and from the peer in slot `peer`, all workers together. */
export function peerCount(counters: Counters, peer: number): PeerCount {
  const at = PEERS_AT + peer * PEER_NUMBERS;
  return { egress: sumOf(counters, at), ingress: sumOf(counters, at + INGRESS_AT) };
}

/** The statistics of these workers together. */
export function readStats(counters: Counters, workers: readonly number[]): WorkerStats {
  const blocks = counters.blocks.filter((_, worker) => workers.includes(worker));
  const values = WORKER_STATS.map(({ name }, stat): [string, number] => {
    const each = blocks.map(block => block[STATS_AT + stat] ?? 0);
    return [name, stat === BATCH_MAX ? Math.max(0, ...each) : each.reduce((sum, value) => sum + value, 0)];
  });
  return Object.fromEntries(values) as WorkerStats;
}

/** Frames of all verdicts that one worker counted. */
export function framesOf(counters: Counters, worker: number): number {
  let frames = 0;
  for (let at = 0; at < STATS_AT; at += VERDICT_NUMBERS) frames += counters.blocks[worker]?.[at] ?? 0;
  return frames;
}

function sumOf(counters: Counters, at: number): FrameCount {
  let frames = 0;
  let bytes = 0;
  // While the memory grows, a worker may still count in a block that has fewer slots.
  for (const block of counters.blocks) {
    frames += block[at] ?? 0;
    bytes += block[at + 1] ?? 0;
  }
  return { frames, bytes };
}
