import { isNetError, type NetError } from '../../net/error.ts';
import { replaceRoute } from '../../net/rtnetlink/routes.ts';
import { NetlinkSocket } from '../../net/rtnetlink/socket.ts';
import { isRefusal, refusedSettings, writeSetting } from '../../net/sysctl.ts';
import { applyEntries, applyStep, type EntryStep, isEntryStep } from './apply.ts';
import { isRemoval, type Step } from './change.ts';
import { connectedRoutes, diff } from './diff.ts';
import { isOurs, observe, observeBase } from './observe.ts';
import type { DesiredState, ObservedRoute, Territory } from './state.ts';

const NOTHING: DesiredState = { neighbours: [], forwarding: [], routes: [], settings: [] };

/**
 * Keeps the kernel state of one overlay as it should be, and remembers what it changed of others, so that it can be
 * given back. Used by `ripstop run` and by the agent.
 */
export class StateKeeper {
  readonly #socket: NetlinkSocket;
  readonly #territory: Territory;
  /** Former values of settings, in the order in which they were changed. */
  readonly #settings = new Map<string, string>();
  readonly #refusals = new Map<EntryStep, NetError>();
  #dumps = 0;
  #requests = 0;
  /** Routes of others whose place ours took. */
  readonly #displaced = new Map<string, ObservedRoute>();

  /** @throws NetError when the namespace cannot be entered */
  constructor(netns: string, territory: Territory) {
    this.#socket = new NetlinkSocket({ netns });
    this.#territory = territory;
  }

  get socket(): NetlinkSocket {
    return this.#socket;
  }

  /** Routes of connected networks whose place wanted routes do not take. @throws NetError */
  connected(wanted: DesiredState): ObservedRoute[] {
    const { routes } = observe(this.#socket, this.#territory, wanted);
    return connectedRoutes(wanted.routes, routes, this.#territory);
  }

  /** The steps that `apply` would make, but for settings that were refused. Changes nothing. @throws RipstopError, NetError */
  plan(wanted: DesiredState): Step[] {
    return this.#withoutRefused(this.#diff(wanted));
  }

  #withoutRefused(steps: readonly Step[]): Step[] {
    const names = new Set(refusedSettings().map(({ name }) => name));
    const isRefused = (step: Step): boolean =>
      step.do === 'set-setting' && step.without !== undefined && names.has(step.name);
    return steps.filter(step => !isRefused(step));
  }

  #diff(wanted: DesiredState): Step[] {
    return diff(wanted, observe(this.#socket, this.#territory, wanted), this.#territory);
  }

  /**
   * Makes what is missing and removes what is stale. A setting that may not be written, or an entry of a peer that is
   * refused, does not keep the other steps from being made: what works without it works. See `refusals` for entries.
   * @param between called after the removals and before the rest: the moment to change the data plane's peers
   * @returns the steps that were made
   * @throws NetError naming the step that failed, after all others for a setting, else at once; what was made stays
   */
  apply(wanted: DesiredState, between?: () => void): Step[] {
    const steps = this.#diff(wanted);
    this.#dumps++;
    this.#refusals.clear();
    const removals = steps.filter(isRemoval);
    const made = this.#make(removals);
    between?.();
    // Removals are first in the list already.
    return [...made, ...this.#make(steps.slice(removals.length))];
  }

  #make(steps: readonly Step[]): Step[] {
    const made: Step[] = [];
    let refused: unknown;
    for (const part of partsOf(steps)) {
      if (Array.isArray(part)) {
        made.push(...this.#makeEntries(part));
        continue;
      }
      try {
        if (!applyStep(this.#socket, part)) continue;
        this.#remember(part);
        made.push(part);
      } catch (error) {
        // The setting is the reason of what fails after it, as an IPv6 address where IPv6 is switched off.
        if (part.do !== 'set-setting' || !isRefusal(error)) throw refused ?? error;
        refused ??= error;
      }
    }
    if (refused !== undefined) throw refused;
    return made;
  }

  #makeEntries(steps: readonly EntryStep[]): EntryStep[] {
    this.#requests += steps.length;
    const refusals = applyEntries(this.#socket, steps);
    for (const [step, error] of refusals) this.#refusals.set(step, error);
    const made = steps.filter(step => !refusals.has(step));
    for (const step of made) this.#remember(step);
    return made;
  }

  /**
   * Makes steps on entries of peers that are known to be right, without a look at what is there.
   * @param between as in `apply`
   * @returns false when something of others is in the way: `apply` has to compare
   * @throws NetError when the device is gone
   */
  change(steps: readonly EntryStep[], between?: () => void): boolean {
    const removals = steps.filter(isRemoval);
    const additions = steps.filter(step => !isRemoval(step));
    const refusals = applyEntries(this.#socket, removals);
    between?.();
    // What replaces a route of ours may; a new one must not take the place of somebody else's.
    const isNew = (step: EntryStep): boolean => step.do === 'set-route' && step.replaces !== true;
    for (const [step, error] of applyEntries(this.#socket, additions, isNew)) refusals.set(step, error);
    this.#requests += steps.length;
    if ([...refusals.values()].some(error => error.code === 'EEXIST')) return false;
    for (const [step, error] of refusals) this.#refusals.set(step, error);
    return true;
  }

  /** Entries of peers that the kernel refused since the last comparison, and why. */
  get refusals(): ReadonlyMap<EntryStep, NetError> {
    return this.#refusals;
  }

  /** Since the start: comparisons with all that the kernel has, and requests on entries of peers. */
  get work(): { readonly dumps: number; readonly requests: number } {
    return { dumps: this.#dumps, requests: this.#requests };
  }

  /** True when device and settings are as they should be; the entries of peers are not looked at. @throws RipstopError, NetError */
  isBaseRight(base: DesiredState): boolean {
    return this.#withoutRefused(this.#diffBase(base)).length === 0;
  }

  #diffBase(base: DesiredState): Step[] {
    return diff(base, observeBase(this.#socket, this.#territory, base), this.#territory);
  }

  /**
   * Removes our routes and gives back what was changed of others. What hangs on the device ends with the device.
   * Goes on after a failure; safe to call twice.
   * @returns what could not be undone
   */
  retire(): unknown[] {
    const failures: unknown[] = [];
    const attempt = (action: () => void) => {
      try {
        action();
      } catch (error) {
        failures.push(error);
      }
    };
    attempt(() => {
      const { routes } = observe(this.#socket, this.#territory, NOTHING);
      for (const route of routes)
        if (isOurs(route, this.#territory))
          attempt(() => applyStep(this.#socket, { do: 'delete-route', route }));
    });
    for (const { original } of this.#displaced.values()) attempt(() => replaceRoute(this.#socket, original));
    this.#displaced.clear();
    for (const [name, value] of [...this.#settings].reverse())
      attempt(() => {
        try {
          writeSetting(this.#socket.netns, name, value);
        } catch (error) {
          if (!isNetError(error, 'ENOENT')) throw error;
        }
      });
    this.#settings.clear();
    return failures;
  }

  close(): void {
    this.#socket.close();
  }

  #remember(step: Step): void {
    if (step.do === 'set-setting' && step.former !== undefined && !this.#settings.has(step.name))
      this.#settings.set(step.name, step.former);
    if (step.do === 'set-route' && step.former && !isOurs(step.former, this.#territory))
      this.#displaced.set(step.route.destination, step.former);
  }
}

/** Steps on entries of peers that follow one another, as one part; each other step for itself. */
function partsOf(steps: readonly Step[]): (Step | EntryStep[])[] {
  const parts: (Step | EntryStep[])[] = [];
  for (const step of steps) {
    const last = parts.at(-1);
    if (!isEntryStep(step)) parts.push(step);
    else if (Array.isArray(last)) last.push(step);
    else parts.push([step]);
  }
  return parts;
}
