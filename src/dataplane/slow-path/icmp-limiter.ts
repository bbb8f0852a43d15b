import { mayAnswerIpv4, mayAnswerIpv6 } from './answerable.ts';
import { type IcmpAnswer, tooBig, unreachable } from './icmp-builder.ts';
import { RateLimiter, type RateLimitOptions, type Suppressed } from './rate-limit.ts';

/** What became of the packets that called for an ICMP error. */
export interface IcmpCounts {
  /** Answers handed out. */
  unreachable: number;
  tooBig: number;
  /** Packets that no rule allows to answer. */
  unanswerable: number;
  /** Answers held back, by limit and kind. */
  suppressedUnreachable: Suppressed;
  suppressedTooBig: Suppressed;
}

/**
 * ICMP errors to pods: may the packet be answered, may an answer leave now, and only then the answer itself, so that
 * a flood costs little. The two kinds have limits of their own: a pod that scans empty addresses must not keep another
 * from learning its path MTU.
 */
export class IcmpAnswers {
  readonly #unreachable: RateLimiter;
  readonly #tooBig: RateLimiter;
  readonly #counts = { unreachable: 0, tooBig: 0, unanswerable: 0 };
  /** Drawn anew by each process, so that a pod cannot compute whose limit it would share. */
  readonly #salt = Math.floor(Math.random() * 2 ** 32) | 0;

  constructor(limits?: RateLimitOptions) {
    this.#unreachable = new RateLimiter(limits);
    this.#tooBig = new RateLimiter(limits);
  }

  /** The answer to an IP packet whose destination no peer owns; undefined: none, and counted why. */
  noPeer(
    view: DataView,
    off: number,
    length: number,
    linkGroup: boolean,
    nowMs: number,
  ): IcmpAnswer | undefined {
    if (!this.#mayLeave(this.#unreachable, view, off, length, linkGroup, false, nowMs)) return undefined;
    this.#counts.unreachable++;
    return unreachable(view, off, length, linkGroup);
  }

  /** The answer to an IP packet that is larger than the `mtu` bytes its path takes; undefined: none. */
  tooBig(
    view: DataView,
    off: number,
    length: number,
    mtu: number,
    linkGroup: boolean,
    nowMs: number,
  ): IcmpAnswer | undefined {
    if (!this.#mayLeave(this.#tooBig, view, off, length, linkGroup, true, nowMs)) return undefined;
    this.#counts.tooBig++;
    return tooBig(view, off, length, mtu, linkGroup);
  }

  counts(): IcmpCounts {
    return {
      ...this.#counts,
      suppressedUnreachable: { ...this.#unreachable.suppressed },
      suppressedTooBig: { ...this.#tooBig.suppressed },
    };
  }

  #mayLeave(
    limiter: RateLimiter,
    view: DataView,
    off: number,
    length: number,
    linkGroup: boolean,
    isTooBig: boolean,
    nowMs: number,
  ): boolean {
    const six = length > 0 && view.getUint8(off) >> 4 === 6;
    const answerable = six
      ? mayAnswerIpv6(view, off, length, linkGroup, isTooBig)
      : mayAnswerIpv4(view, off, length, linkGroup);
    if (!answerable) {
      this.#counts.unanswerable++;
      return false;
    }
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
