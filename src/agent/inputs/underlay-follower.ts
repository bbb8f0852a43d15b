import { type Clock, monotonicMs } from '../../base/clock.ts';
import { describeError } from '../../base/errors.ts';
import type { Log } from '../../base/log.ts';
import type { Readiness } from '../readiness.ts';
import { describeUnderlay, missingAddresses, type Underlay, type UnderlayLink } from './underlay.ts';

/**
 * How long another underlay must be the right one before the agent moves, ms. A DHCP client that renews by flushing and
 * adding its address takes about 3 s; duplicate address detection after a link flap 1 to 2 s.
 */
export const MOVE_AFTER_MS = 5000;

/** `lacking`: why the tunnel cannot carry packets meanwhile. `ms`: look again after this time. */
export type FollowerDecision =
  | { readonly do: 'stay' }
  | { readonly do: 'wait'; readonly ms: number; readonly lacking: string | undefined }
  | { readonly do: 'move'; readonly why: string };

/** Decides when a change of interfaces and addresses is a reason to move the tunnel. */
export class MoveDecision {
  readonly #clock: Clock;
  /** Since when the underlay in use is not the one to use, and whether its addresses were gone at the last look. */
  #since: { readonly ms: number; readonly isGone: boolean } | undefined;

  /** All addresses of the node when those of the underlay were there last. */
  #present: ReadonlySet<string> | undefined;

  constructor(clock: Clock = monotonicMs) {
    this.#clock = clock;
  }

  /** @param choose the underlay as this node is now; throws when none fits */
  look(underlay: Underlay, choose: () => Underlay, links: readonly UnderlayLink[]): FollowerDecision {
    const missing = missingAddresses(underlay, links);
    const isGone = missing.length > 0;
    if (!isGone) this.#present = new Set(links.flatMap(link => link.addresses.map(({ address }) => address)));
    const gone = `${missing.join(' and ')} of ${underlay.name} ${missing.length > 1 ? 'are' : 'is'} gone`;
    let next: Underlay;
    try {
      next = choose();
    } catch (error) {
      // An interface may be away for a moment: the tunnel stays as it is, and packets flow when it is back.
      this.#begin(isGone);
      const lacking = isGone ? `${gone}; ${describeError(error)}` : describeError(error);
      return { do: 'wait', ms: MOVE_AFTER_MS, lacking };
    }
    if (JSON.stringify(next) === JSON.stringify(underlay)) {
      this.#since = undefined;
      return { do: 'stay' };
    }
    const why = `the underlay changed from ${describeUnderlay(underlay)} to ${describeUnderlay(next)}`;
    if (isGone ? this.#isNew(next, underlay) : isSamePlace(next, underlay)) return { do: 'move', why };
    const ms = this.#begin(isGone) + MOVE_AFTER_MS - this.#clock();
    if (ms <= 0) return { do: 'move', why };
    return { do: 'wait', ms, lacking: isGone ? `${gone}; moving to ${describeUnderlay(next)}` : undefined };
  }

  /** True when what replaces the lost addresses was not there before: the interface was renumbered. */
  #isNew(next: Underlay, former: Underlay): boolean {
    const present = this.#present;
    const added = [next.address4, next.address6].filter(
      address => address !== undefined && address !== former.address4 && address !== former.address6,
    );
    return present !== undefined && added.every(address => !present.has(address!));
  }

  /** @returns since when, ms; a loss begins a wait of its own */
  #begin(isGone: boolean): number {
    if (this.#since?.isGone !== isGone) this.#since = { ms: this.#clock(), isGone };
    return this.#since.ms;
  }
}

function isSamePlace(one: Underlay, other: Underlay): boolean {
  return one.name === other.name && one.address4 === other.address4 && one.address6 === other.address6;
}

/** What the follower asks of the agent. */
export interface FollowedNode {
  readonly readiness: Readiness;
  readonly log: Log;
  links(): readonly UnderlayLink[];
  /** Begins another session on the underlay as it is then. */
  move(why: string): void;
}

/** Follows the underlay of one session after another. */
export class UnderlayFollower {
  readonly #node: FollowedNode;
  #decision = new MoveDecision();
  #timer: NodeJS.Timeout | undefined;

  constructor(node: FollowedNode) {
    this.#node = node;
  }

  /** Looks at the underlay now, and again as long as a move is under way. */
  look(underlay: Underlay, choose: () => Underlay): void {
    clearTimeout(this.#timer);
    const { readiness, log } = this.#node;
    const lookAgain = (ms: number): void => {
      this.#timer = setTimeout(() => this.look(underlay, choose), ms);
    };
    let links: readonly UnderlayLink[];
    try {
      links = this.#node.links();
    } catch (error) {
      // The kernel does not answer, or its tables change all the time: what is there is not known, so nothing moves.
      log.warn(`the interfaces cannot be read, trying again: ${describeError(error)}`);
      lookAgain(MOVE_AFTER_MS);
      return;
    }
    const verdict = this.#decision.look(underlay, choose, links);
    if (verdict.do === 'move') {
      this.#node.move(verdict.why);
      return;
    }
    const lacking = verdict.do === 'wait' ? verdict.lacking : undefined;
    if (verdict.do === 'wait') lookAgain(verdict.ms + 1);
    if (lacking !== undefined) {
      if (readiness.setFalse('underlay', lacking))
        log.warn(`the underlay is not usable at the moment: ${lacking}`);
    } else if (readiness.setTrue('underlay')) log.info('the underlay is usable again');
  }

  /** The session ends: whatever was under way is void. */
  reset(): void {
    clearTimeout(this.#timer);
    this.#decision = new MoveDecision();
  }
}
