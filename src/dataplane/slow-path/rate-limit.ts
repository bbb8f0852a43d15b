/*
 * How many answers may leave. Three nested limits, the way the kernel nests icmp_msgs_per_sec and icmp_ratelimit: one
 * for the pair of addresses (a retransmitting sender needs to be told once), one for the sender (a pod that scans must
 * not use up what others need), one for the node. Memory is bounded; time comes in as an argument.
 */

export interface Rate {
  /** Tokens a second. */
  perSecond: number;
  /** Tokens that may gather. */
  burst: number;
}

export interface RateLimitOptions {
  node: Rate;
  source: Rate;
  pair: Rate;
  /** Most sources and most pairs remembered; the one not seen for longest is forgotten. */
  entries: number;
}

export const DEFAULT_RATE_LIMIT: RateLimitOptions = {
  node: { perSecond: 1000, burst: 200 },
  source: { perSecond: 100, burst: 50 },
  pair: { perSecond: 1, burst: 6 },
  entries: 4096,
};

/** Answers held back, by the limit that held them. */
export interface Suppressed {
  node: number;
  source: number;
  pair: number;
}

interface Bucket {
  tokens: number;
  atMs: number;
}

function fill(bucket: Bucket, rate: Rate, nowMs: number): void {
  // A clock that went back neither takes tokens away nor mints them twice.
  if (nowMs <= bucket.atMs) return;
  bucket.tokens = Math.min(rate.burst, bucket.tokens + ((nowMs - bucket.atMs) * rate.perSecond) / 1000);
  bucket.atMs = nowMs;
}

export class RateLimiter {
  readonly suppressed: Suppressed = { node: 0, source: 0, pair: 0 };
  readonly #options: RateLimitOptions;
  readonly #node: Bucket;
  readonly #sources = new Map<number, Bucket>();
  readonly #pairs = new Map<number, Bucket>();

  constructor(options: RateLimitOptions = DEFAULT_RATE_LIMIT) {
    this.#options = options;
    this.#node = { tokens: options.node.burst, atMs: 0 };
  }

  /**
   * Whether an answer may leave at `nowMs`. A refusal takes no token from anyone.
   * @param source hash of the address that the answer goes to
   * @param pair hash of that address and the destination of its packet; those that collide share a limit
   */
  allow(source: number, pair: number, nowMs: number): boolean {
    const { node, source: perSource, pair: perPair, entries } = this.#options;
    const pairBucket = touch(this.#pairs, pair, perPair, entries, nowMs);
    if (pairBucket.tokens < 1) return this.#hold('pair');
    const sourceBucket = touch(this.#sources, source, perSource, entries, nowMs);
    if (sourceBucket.tokens < 1) return this.#hold('source');
    fill(this.#node, node, nowMs);
    if (this.#node.tokens < 1) return this.#hold('node');
    pairBucket.tokens--;
    sourceBucket.tokens--;
    this.#node.tokens--;
    return true;
  }

  /** Sources and pairs remembered now. */
  get size(): number {
    return this.#sources.size + this.#pairs.size;
  }

  #hold(limit: keyof Suppressed): false {
    this.suppressed[limit]++;
    return false;
  }
}

/** The bucket of `key`, filled up to now and moved to the young end; the oldest goes when there are too many. */
function touch(map: Map<number, Bucket>, key: number, rate: Rate, entries: number, nowMs: number): Bucket {
  let bucket = map.get(key);
  if (bucket) map.delete(key);
  else {
    bucket = { tokens: rate.burst, atMs: nowMs };
    if (map.size >= entries) map.delete(map.keys().next().value!);
  }
  map.set(key, bucket);
  fill(bucket, rate, nowMs);
  return bucket;
}
