import { elementAt } from '../../base/at.ts';

/*
 * Counters: one block of float64 per worker in shared memory, all of them sums since start.
 *
 *   Writer    of a block: its worker alone, with plain additions; no two blocks share a cache line.
 *   Readers   any thread, at any time. Each number is exact, but a frame may be in one number and not yet in the next.
 *   Torn read of one number: a float64 that is aligned is one store and one load on the 64-bit machines that Node
 *             runs on; each number is exact up to 2^53 (9 PB, 28 years at 10 Mpps) and makes no garbage.
 *   Reset     of a peer: by the control thread as `resetSlot` of `TablesWriter`, when no worker can count for the
 *             slot any more. The next generation is published after it, so a worker that sees the slot's next peer
 *             sees the zeros.
 *
 * A block: verdicts { frames, bytes } · worker statistics · peers { egress frames, egress bytes, ingress frames, ingress bytes }
 */
/** Index of the first number of each part. */
export const STATS_AT = 64;
export const PEERS_AT = 80;
/** Numbers per verdict: frames, bytes. */
export const VERDICT_NUMBERS = 2;
/** Numbers per peer: frames and bytes of egress, then of ingress. */
export const PEER_NUMBERS = 4;
export const INGRESS_AT = 2;
/** Numbers in the header that names the sizes, and in a cache line pair: the prefetcher fetches two lines. */
const LINE_PAIR = 16;

/* Indices of the worker statistics; WORKER_STATS below describes them. */
export const BATCHES = 0;
export const WAKEUPS = 1;
export const BATCH_MAX = 2;
export const SEGMENTS = 3;
export const NATIVE_CALLS = 4;
export const COALESCED = 5;
export const FALLBACKS = 6;
export const UNFORWARDED_SEGMENTS = 7;
export const MESSAGES = 8;

/** The worker statistics by index, with their meanings for `docs/reference/metrics.md`. All are counters but `batchMax`. */
export const WORKER_STATS = [
  { name: 'batches', meaning: 'batches that carried at least one frame' },
  { name: 'wakeups', meaning: 'returns from the wait in the kernel, with or without frames' },
  { name: 'batchMax', meaning: 'frames of the largest batch so far; a maximum, not a sum' },
  { name: 'segments', meaning: 'packets on the wire: datagrams sent (egress) or frames received (ingress)' },
  { name: 'nativeCalls', meaning: 'calls into the addon' },
  { name: 'coalesced', meaning: 'frames merged into GSO packets before they were written to the device' },
  { name: 'fallbacks', meaning: 'offloaded units that the kernel refused and that were sent one by one' },
  {
    name: 'unforwardedSegments',
    meaning: 'packets in the frames from the device that were not forwarded; a GSO packet stands for several',
  },
  {
    name: 'messages',
    meaning:
      'packets as the kernel handed them over at the socket (ingress); a coalesced one holds several datagrams',
  },
] as const;

/** Views of the counters for one thread. */
export interface Counters {
  readonly memory: SharedArrayBuffer;
  readonly peers: number;
  /** One block per worker; a worker writes only its own. */
  readonly blocks: readonly Float64Array[];
}

function blockLength(peers: number): number {
  return Math.ceil((PEERS_AT + peers * PEER_NUMBERS) / LINE_PAIR) * LINE_PAIR;
}

/** Bytes of shared memory for the counters of `workers` threads and `peers` slots. */
function countersBytes(workers: number, peers: number): number {
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

/** Views of counters that another thread made. */
export function openCounters(memory: SharedArrayBuffer): Counters {
  const numbers = new Float64Array(memory);
  const [workers = 0, peers = 0] = numbers;
  const length = blockLength(peers);
  const blocks = Array.from({ length: workers }, (_, worker) => {
    const at = LINE_PAIR + worker * length;
    return numbers.subarray(at, at + length);
  });
  return { memory, peers, blocks };
}

/** The block of one worker. */
export function counterBlock({ blocks }: Counters, worker: number): Float64Array {
  return elementAt(blocks, worker);
}

/**
 * Adds frames and bytes to a verdict.
 * @hot
 */
export function countVerdict(block: Float64Array, verdict: number, frames: number, bytes: number): void {
  const at = verdict * VERDICT_NUMBERS;
  block[at]! += frames;
  block[at + 1]! += bytes;
}

/**
 * Adds frames and bytes that went to the peer in slot `peer`.
 * @hot
 */
export function countEgress(block: Float64Array, peer: number, frames: number, bytes: number): void {
  const at = PEERS_AT + peer * PEER_NUMBERS;
  block[at]! += frames;
  block[at + 1]! += bytes;
}

/**
 * Adds frames and bytes that came from the peer in slot `peer`.
 * @hot
 */
export function countIngress(block: Float64Array, peer: number, frames: number, bytes: number): void {
  const at = PEERS_AT + peer * PEER_NUMBERS + INGRESS_AT;
  block[at]! += frames;
  block[at + 1]! += bytes;
}

/**
 * Adds to a worker statistic.
 * @hot
 */
export function addStat(block: Float64Array, stat: number, amount: number): void {
  block[STATS_AT + stat]! += amount;
}

/**
 * Raises a worker statistic that is a maximum.
 * @hot
 */
export function maxStat(block: Float64Array, stat: number, value: number): void {
  if (value > block[STATS_AT + stat]!) block[STATS_AT + stat] = value;
}

/** Resets the counters of a slot. Only when no worker counts for it: see the head of this file. */
export function resetPeer(counters: Counters, peer: number): void {
  const at = PEERS_AT + peer * PEER_NUMBERS;
  for (const block of counters.blocks) block.fill(0, at, at + PEER_NUMBERS);
}
