import { RipstopError } from '../../base/errors.ts';

/*
 * Counters: one block of float64 a worker in shared memory, all of them sums since start.
 *
 *   Writer    of a block: its worker alone, with plain additions; no two blocks share a cache line.
 *   Readers   anybody, at any time. Each number is right, but a frame may stand in one number and not yet in the next.
 *   Torn read of one number: a float64 that is aligned is one store and one load on the 64-bit machines that Node
 *             runs on; each number is exact up to 2^53 (9 PB, 28 years at 10 Mpps) and makes no garbage.
 *   Reset     of a peer: by the control thread as `resetSlot` of `TablesWriter`, when no worker can count for the
 *             slot any more. The store of the next generation follows it, so a worker that gets to know the slot's
 *             next peer sees the zeros.
 *
 * A block: verdicts { frames, bytes } · gauges · peers { egress frames, egress bytes, ingress frames, ingress bytes }
 */
const GAUGES_AT = 64;
const PEERS_AT = 80;
/** Numbers in the header that names the sizes, and in a cache line pair: the prefetcher fetches two lines. */
const LINE_PAIR = 16;

/** Verdict numbers that a block has room for. */
export const VERDICTS_MAX = 32;

/* Numbers of the gauges; what they say stands in GAUGES below. */
export const BATCHES = 0;
export const WAKEUPS = 1;
export const BATCH_MAX = 2;
export const SEGMENTS = 3;
export const NATIVE_CALLS = 4;
export const COALESCED = 5;
export const FALLBACKS = 6;

/** The gauges in the order of their numbers, with what they say, for `docs/metrics.md`. */
export const GAUGES = [
  { name: 'batches', meaning: 'batches that carried at least one frame' },
  { name: 'wakeups', meaning: 'times that the wait in the kernel ended, with frames or without' },
  { name: 'batchMax', meaning: 'frames of the largest batch so far: the only number that is no sum' },
  { name: 'segments', meaning: 'datagrams (egress) or frames (ingress) that stood for packets on the wire' },
  { name: 'nativeCalls', meaning: 'calls into the addon' },
  { name: 'coalesced', meaning: 'frames merged into a superframe before the device got them' },
  { name: 'fallbacks', meaning: 'offloaded units that the kernel refused and that went out one by one' },
] as const;

export type Gauges = Record<(typeof GAUGES)[number]['name'], number>;

export interface Tally {
  frames: number;
  bytes: number;
}

export interface PeerTally {
  egress: Tally;
  ingress: Tally;
}

/** The counters as one thread sees them. */
export interface Counters {
  readonly memory: SharedArrayBuffer;
  readonly peers: number;
  /** One block a worker; a worker writes its own only. */
  readonly blocks: readonly Float64Array[];
}

function blockLength(peers: number): number {
  return Math.ceil((PEERS_AT + peers * 4) / LINE_PAIR) * LINE_PAIR;
}

/** Bytes of shared memory for the counters of `workers` threads and `peers` slots. */
export function countersBytes(workers: number, peers: number): number {
  return (LINE_PAIR + workers * blockLength(peers)) * 8;
}

/** Memory for the counters of `workers` threads and `peers` slots, all zero. */
export function createCounters(workers: number, peers: number): SharedArrayBuffer {
  const memory = new SharedArrayBuffer(countersBytes(workers, peers));
  const numbers = new Float64Array(memory);
  numbers[0] = workers;
  numbers[1] = peers;
  return memory;
}

/** Views of counters that another thread made. Throws ELAYOUT when the memory holds something else. */
export function openCounters(memory: SharedArrayBuffer): Counters {
  const numbers = new Float64Array(memory);
  const workers = numbers[0]!;
  const peers = numbers[1]!;
  if (!(workers >= 1) || countersBytes(workers, peers) !== memory.byteLength)
    throw new RipstopError('ELAYOUT', 'the shared memory holds no counters', 'restart all workers');
  const length = blockLength(peers);
  const blocks = Array.from({ length: workers }, (_, worker) => {
    const at = LINE_PAIR + worker * length;
    return numbers.subarray(at, at + length);
  });
  return { memory, peers, blocks };
}

/**
 * Adds frames and bytes to a verdict.
 * @hot
 */
export function countVerdict(block: Float64Array, verdict: number, frames: number, bytes: number): void {
  const at = verdict << 1;
  block[at]! += frames;
  block[at + 1]! += bytes;
}

/**
 * Adds frames and bytes that went to the peer in slot `peer`.
 * @hot
 */
export function countEgress(block: Float64Array, peer: number, frames: number, bytes: number): void {
  const at = 80 + (peer << 2);
  block[at]! += frames;
  block[at + 1]! += bytes;
}

/**
 * Adds frames and bytes that came from the peer in slot `peer`.
 * @hot
 */
export function countIngress(block: Float64Array, peer: number, frames: number, bytes: number): void {
  const at = 82 + (peer << 2);
  block[at]! += frames;
  block[at + 1]! += bytes;
}

/**
 * Adds to a gauge that sums.
 * @hot
 */
export function addGauge(block: Float64Array, gauge: number, amount: number): void {
  block[64 + gauge]! += amount;
}

/**
 * Raises a gauge that keeps the largest value.
 * @hot
 */
export function raiseGauge(block: Float64Array, gauge: number, value: number): void {
  if (value > block[64 + gauge]!) block[64 + gauge] = value;
}

/** Frames and bytes of a verdict, all workers together. */
export function verdictTally(counters: Counters, verdict: number): Tally {
  return tally(counters, verdict * 2);
}

/** What the peer in slot `peer` sent and got, all workers together. */
export function peerTally(counters: Counters, peer: number): PeerTally {
  const at = PEERS_AT + peer * 4;
  return { egress: tally(counters, at), ingress: tally(counters, at + 2) };
}

/** The gauges of all workers together, or of one. */
export function readGauges(counters: Counters, worker?: number): Gauges {
  const blocks = worker === undefined ? counters.blocks : [counters.blocks[worker]!];
  const gauges = {} as Gauges;
  for (const [gauge, { name }] of GAUGES.entries()) {
    const values = blocks.map(block => block[GAUGES_AT + gauge]!);
    gauges[name] = gauge === BATCH_MAX ? Math.max(...values) : values.reduce((sum, value) => sum + value, 0);
  }
  return gauges;
}

/** Zeroes what is counted for a slot. Only when no worker counts for it: see the head of this file. */
export function resetPeer(counters: Counters, peer: number): void {
  const at = PEERS_AT + peer * 4;
  for (const block of counters.blocks) block.fill(0, at, at + 4);
}

function tally(counters: Counters, at: number): Tally {
  let frames = 0;
  let bytes = 0;
  // While the memory grows, a worker may still count in a block that has fewer slots.
  for (const block of counters.blocks) {
    frames += block[at] ?? 0;
    bytes += block[at + 1] ?? 0;
  }
  return { frames, bytes };
}
