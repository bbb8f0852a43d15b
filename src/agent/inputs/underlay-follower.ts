import { type Clock, monotonicMs } from '../../base/clock.ts';
import { describeError } from '../../base/errors.ts';
import type { Log } from '../../base/log.ts';
import type { Readiness } from '../readiness.ts';
import { describeUnderlay, missingAddresses, type Underlay, type UnderlayLink } from './underlay.ts';

/**
 * How long another underlay must be the preferred one before the agent moves, ms. A DHCP client that renews by removing
 * and adding its address takes about 3 s; duplicate address detection after a link flap takes 1 to 2 s.
 */
export const MOVE_AFTER_MS = 5000;

/** `lacking`: why the tunnel cannot carry packets now. `ms`: time until the next look. */
export type FollowerDecision =
  | { readonly do: 'stay' }
  | { readonly do: 'wait'; readonly ms: number; readonly lacking: string | undefined }
  | { readonly do: 'move'; readonly why: string };

/** Decides when a change of interfaces and addresses is a reason to move the tunnel. */
export class MoveDecision {
  readonly #clock: Clock;
  /** Since when another underlay is preferred, and whether the addresses of the present one were gone at the last look. */
  #since: { readonly ms: number; readonly isGone: boolean } | undefined;

  /** All addresses of the node when it last had those of the underlay. */
  #present: ReadonlySet<string> | undefined;

  constructor(clock: Clock = monotonicMs) {
    this.#clock = clock;
  }

  /** @param choose finds the preferred underlay; throws when none fits */
  look(underlay: Underlay, choose: () => Underlay, links: readonly UnderlayLink[]): FollowerDecision {
    const missing = missingAddresses(underlay, links);
    const isGone = missing.length > 0;
    if (!isGone) this.#present = new Set(links.flatMap(link => link.addresses.map(({ address }) => address)));
    const gone = `${missing.join(' and ')} of ${underlay.name} ${missing.length > 1 ? 'are' : 'is'} gone`;
    let next: Underlay;
    try {
      next = choose();
    } catch (error) {
      // The interface may be absent for a moment only: the tunnel stays, and packets flow when it is back.
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

  /** True when the node did not have the replacing addresses before: the interface was renumbered. */
  #isNew(next: Underlay, former: Underlay): boolean {
    const present = this.#present;
    const added = [next.address4, next.address6].filter(
      address => address !== undefined && address !== former.address4 && address !== former.address6,
    );
    return present !== undefined && added.every(address => !present.has(address!));
  }

  /** @returns since when, ms; a loss of addresses starts another wait */
  #begin(isGone: boolean): number {
    if (this.#since?.isGone !== isGone) this.#since = { ms: this.#clock(), isGone };
    return this.#since.ms;
  }
}

function isSamePlace(one: Underlay, other: Underlay): boolean {
  return one.name === other.name && one.address4 === other.address4 && one.address6 === other.address6;
}

/** What the follower needs of the agent. */
export interface FollowedNode {
  readonly readiness: Readiness;
  readonly log: Log;
  links(): readonly UnderlayLink[];
  /** Starts the network again, on the underlay as it is then. */
  move(why: string): void;
}

/** Follows the underlay of the present network. */
export class UnderlayFollower {
  readonly #node: FollowedNode;
  #decision = new MoveDecision();
  #timer: NodeJS.Timeout | undefined;

  constructor(node: FollowedNode) {
    this.#node = node;
  }

  /** Looks at the underlay now, and again while a move is pending. */
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
      // The kernel does not answer, or its tables change all the time.
      log.warn(`cannot read the interfaces, trying again: ${describeError(error)}`);
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
      if (readiness.setFalse('underlay', lacking)) log.warn(`the underlay is not usable: ${lacking}`);
    } else if (readiness.setTrue('underlay')) log.info('the underlay is usable again');
  }

  /** The network stops: a pending move is cancelled. */
  reset(): void {
    clearTimeout(this.#timer);
    this.#decision = new MoveDecision();
  }
}
