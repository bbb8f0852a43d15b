import { buildTooBig, buildUnreachable, type IcmpError } from './icmp-builder.ts';
import { isIpv6, mayTriggerIcmpError } from './icmp-eligibility.ts';
import { RateLimiter, type RateLimitOptions } from './rate-limit.ts';

/**
 * ICMP errors to pods. It checks whether the packet may trigger an error, then the rate limits, and only then builds the
 * error, so that a flood costs little. The two kinds have separate limits: a pod that scans unused addresses must not
 * keep another pod from learning its path MTU.
 */
export class IcmpLimiter {
  readonly #unreachable: RateLimiter;
  readonly #tooBig: RateLimiter;
  /** Random for each process, so that a pod cannot compute whose limit it would share. */
  readonly #salt = Math.floor(Math.random() * 2 ** 32) | 0;

  constructor(limits?: RateLimitOptions) {
    this.#unreachable = new RateLimiter(limits);
    this.#tooBig = new RateLimiter(limits);
  }

  /** The error for an IP packet whose destination no peer owns; undefined for none. */
  unreachable(view: DataView, off: number, length: number, nowMs: number): IcmpError | undefined {
    const isAllowed =
      mayTriggerIcmpError(view, off, length, false) &&
      this.#allow(this.#unreachable, view, off, length, nowMs);
    return isAllowed ? buildUnreachable(view, off, length) : undefined;
  }

  /** The error for an IP packet that exceeds the `mtu` of its path; undefined for none. */
  tooBig(view: DataView, off: number, length: number, mtu: number, nowMs: number): IcmpError | undefined {
    const isAllowed =
      mayTriggerIcmpError(view, off, length, true) && this.#allow(this.#tooBig, view, off, length, nowMs);
    return isAllowed ? buildTooBig(view, off, length, mtu) : undefined;
  }

  #allow(limiter: RateLimiter, view: DataView, off: number, length: number, nowMs: number): boolean {
    const six = isIpv6(view, off, length);
    const at = off + (six ? 8 : 12);
    const words = six ? 4 : 1;
    const source = mix(view, at, words, this.#salt);
    return limiter.allow(source, mix(view, at + words * 4, words, source), nowMs);
  }
}

/** Folds `words` 32-bit words at `off` into the hash `seed` (the mixing step of MurmurHash3). */
function mix(view: DataView, off: number, words: number, seed: number): number {
  let hash = seed;
  for (let at = off; at < off + words * 4; at += 4) {
    let word = Math.imul(view.getInt32(at), 0xcc9e2d51);
    word = (word << 15) | (word >>> 17);
    hash ^= Math.imul(word, 0x1b873593);
    hash = (hash << 13) | (hash >>> 19);
    hash = (Math.imul(hash, 5) + 0xe6546b64) | 0;
  }
  hash ^= hash >>> 16;
  hash = Math.imul(hash, 0x85ebca6b);
  return hash ^ (hash >>> 13);
}
