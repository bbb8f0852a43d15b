/*
 * Limits of ICMP errors: three nested token buckets, as the kernel nests icmp_msgs_per_sec and icmp_ratelimit. One is for
 * the pair of addresses (a sender that retransmits needs one error), one for the sender (a pod that scans must not use
 * up the errors of others), one for the node. Memory is bounded; time is an argument.
 */

interface Rate {
  /** Tokens per second. */
  perSecond: number;
  /** Tokens that may accumulate. */
  burst: number;
}

export interface RateLimitOptions {
  node: Rate;
  source: Rate;
  pair: Rate;
  /** Most sources and most pairs remembered; the least recently used one is forgotten. */
  entries: number;
}

export const DEFAULT_RATE_LIMIT: RateLimitOptions = {
  node: { perSecond: 1000, burst: 200 },
  source: { perSecond: 100, burst: 50 },
  pair: { perSecond: 1, burst: 6 },
  entries: 4096,
};

/** A token bucket, full at first. Time is an argument. */
export class TokenBucket {
  readonly #rate: Rate;
  #tokens: number;
  #atMs: number | undefined;

  constructor(rate: Rate) {
    this.#rate = rate;
    this.#tokens = rate.burst;
  }

  /** Tokens at `nowMs`, fractions included. A clock that went back neither adds nor removes any. */
  available(nowMs: number): number {
    this.#atMs ??= nowMs;
    if (nowMs > this.#atMs) {
      const { burst, perSecond } = this.#rate;
      this.#tokens = Math.min(burst, this.#tokens + ((nowMs - this.#atMs) * perSecond) / 1000);
      this.#atMs = nowMs;
    }
    return this.#tokens;
  }

  take(tokens: number): void {
    this.#tokens -= tokens;
  }
}

export class RateLimiter {
  readonly #options: RateLimitOptions;
  readonly #node: TokenBucket;
  readonly #sources = new Map<number, TokenBucket>();
  readonly #pairs = new Map<number, TokenBucket>();

  constructor(options: RateLimitOptions = DEFAULT_RATE_LIMIT) {
    this.#options = options;
    this.#node = new TokenBucket(options.node);
  }

  /**
   * Whether an error may be sent at `nowMs`. A refusal takes no token from any bucket.
   * @param source hash of the address that the error goes to
   * @param pair hash of that address and the destination of its packet; those that collide share a limit
   */
  allow(source: number, pair: number, nowMs: number): boolean {
    const { source: perSource, pair: perPair, entries } = this.#options;
    const ofPair = touch(this.#pairs, pair, perPair, entries);
    if (ofPair.available(nowMs) < 1) return false;
    const ofSource = touch(this.#sources, source, perSource, entries);
    if (ofSource.available(nowMs) < 1 || this.#node.available(nowMs) < 1) return false;
    for (const bucket of [ofPair, ofSource, this.#node]) bucket.take(1);
    return true;
  }

  /** Sources and pairs remembered now. */
  get size(): number {
    return this.#sources.size + this.#pairs.size;
  }
}

/** The bucket of `key`, moved to the end of the most recently used; the least recently used one makes room. */
function touch(map: Map<number, TokenBucket>, key: number, rate: Rate, entries: number): TokenBucket {
  const bucket = map.get(key) ?? new TokenBucket(rate);
  map.delete(key);
  for (const oldest of map.keys()) {
    if (map.size < entries) break;
    map.delete(oldest);
  }
  map.set(key, bucket);
  return bucket;
}
