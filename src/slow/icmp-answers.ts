import { formatIpv4, formatIpv6 } from '../../encap/wire/addresses.ts';
import { type IcmpAnswer, tooBig, unreachable } from './icmp-error.ts';
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
 * ICMP errors to pods: what may be answered, within a rate limit. The two kinds have limits of their own: a pod that
 * scans empty addresses must not keep another from learning its path MTU.
 */
export class IcmpAnswers {
  readonly #unreachable: RateLimiter;
  readonly #tooBig: RateLimiter;
  readonly #counts = { unreachable: 0, tooBig: 0, unanswerable: 0 };

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
    const answer = this.#limited(
      this.#unreachable,
      unreachable(view, off, length, linkGroup),
      view,
      off,
      nowMs,
    );
    if (answer) this.#counts.unreachable++;
    return answer;
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
    const answer = this.#limited(this.#tooBig, tooBig(view, off, length, mtu, linkGroup), view, off, nowMs);
    if (answer) this.#counts.tooBig++;
    return answer;
  }

  counts(): IcmpCounts {
    return {
      ...this.#counts,
      suppressedUnreachable: { ...this.#unreachable.suppressed },
      suppressedTooBig: { ...this.#tooBig.suppressed },
    };
  }

  #limited(
    limiter: RateLimiter,
    answer: IcmpAnswer | undefined,
    view: DataView,
    off: number,
    nowMs: number,
  ): IcmpAnswer | undefined {
    if (!answer) {
      this.#counts.unanswerable++;
      return undefined;
    }
    const v4 = answer.family === 4;
    const source = v4 ? formatIpv4(view, off + 12) : formatIpv6(view, off + 8);
    const destination = v4 ? formatIpv4(view, off + 16) : formatIpv6(view, off + 24);
    return limiter.allow(source, destination, nowMs) ? answer : undefined;
  }
}
