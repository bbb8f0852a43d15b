import type { NetError } from '../../net/error.ts';
import { NetlinkSocket } from '../../net/rtnetlink/socket.ts';
import { isSysctlRefusal, refusedSysctls } from '../../net/sysctl.ts';
import { applyChange, applyEntries, type EntryChange, isEntryChange } from './apply.ts';
import { isRemoval, type KernelChange } from './change.ts';
import { connectedRoutes, diff } from './diff.ts';
import type { FormerState } from './former-state.ts';
import { isOurs, observe, observeBase } from './observe.ts';
import type { DesiredState, ObservedRoute, OwnershipScope } from './state.ts';

const NOTHING: DesiredState = { neighbours: [], forwarding: [], routes: [], settings: [] };

/** Keeps the kernel state of one overlay as it should be. */
export class KernelReconciler {
  readonly #socket: NetlinkSocket;
  readonly #scope: OwnershipScope;
  readonly #former: FormerState;
  readonly #refusals = new Map<EntryChange, NetError>();
  #dumps = 0;
  #requests = 0;

  /**
   * @param former receives what is changed of others
   * @throws NetError when the namespace cannot be entered
   */
  constructor(netns: string, scope: OwnershipScope, former: FormerState) {
    this.#socket = new NetlinkSocket({ netns });
    this.#scope = scope;
    this.#former = former;
  }

  get socket(): NetlinkSocket {
    return this.#socket;
  }

  /** Routes of connected networks whose place wanted routes do not take. @throws NetError */
  connected(wanted: DesiredState): ObservedRoute[] {
    const { routes } = observe(this.#socket, this.#scope, wanted);
    return connectedRoutes(wanted.routes, routes, this.#scope);
  }

  /** The changes that `apply` would make, but for settings that were refused. Changes nothing. @throws RipstopError, NetError */
  plan(wanted: DesiredState): KernelChange[] {
    return this.#withoutRefused(this.#diff(wanted));
  }

  #withoutRefused(changes: readonly KernelChange[]): KernelChange[] {
    const names = new Set(refusedSysctls().map(({ name }) => name));
    const isRefused = (change: KernelChange): boolean =>
      change.do === 'set-sysctl' && change.without !== undefined && names.has(change.name);
    return changes.filter(change => !isRefused(change));
  }

  #diff(wanted: DesiredState): KernelChange[] {
    return diff(wanted, observe(this.#socket, this.#scope, wanted), this.#scope);
  }

  /**
   * Makes what is missing and removes what is stale. A setting that may not be written, or an entry of a peer that is
   * refused, does not keep the other changes from being made: what works without it works. See `refusals` for entries.
   * @param beforeAdditions called after the removals and before the rest: the moment to change the data plane's peers
   * @returns the changes that were made
   * @throws NetError naming the change that failed, after all others for a setting, else at once; what was made stays
   */
  apply(wanted: DesiredState, beforeAdditions?: () => void): KernelChange[] {
    const changes = this.#diff(wanted);
    this.#dumps++;
    this.#refusals.clear();
    const removals = changes.filter(isRemoval);
    const made = this.#make(removals);
    beforeAdditions?.();
    // Removals are first in the list already.
    return [...made, ...this.#make(changes.slice(removals.length))];
  }

  #make(changes: readonly KernelChange[]): KernelChange[] {
    const made: KernelChange[] = [];
    let refused: unknown;
    for (const part of partsOf(changes)) {
      if (Array.isArray(part)) {
        made.push(...this.#makeEntries(part));
        continue;
      }
      try {
        if (!applyChange(this.#socket, part)) continue;
        this.#remember(part);
        made.push(part);
      } catch (error) {
        // The setting is the reason of what fails after it, as an IPv6 address where IPv6 is switched off.
        if (part.do !== 'set-sysctl' || !isSysctlRefusal(error)) throw refused ?? error;
        refused ??= error;
      }
    }
    if (refused !== undefined) throw refused;
    return made;
  }

  #makeEntries(changes: readonly EntryChange[]): EntryChange[] {
    this.#requests += changes.length;
    const refusals = applyEntries(this.#socket, changes);
    for (const [change, error] of refusals) this.#refusals.set(change, error);
    const made = changes.filter(change => !refusals.has(change));
    for (const change of made) this.#remember(change);
    return made;
  }

  /**
   * Makes changes on entries of peers that are known to be right, without a look at what is there.
   * @param beforeAdditions as in `apply`
   * @returns false when something of others is in the way: `apply` has to compare
   * @throws NetError when the device is gone
   */
  change(changes: readonly EntryChange[], beforeAdditions?: () => void): boolean {
    const removals = changes.filter(isRemoval);
    const additions = changes.filter(change => !isRemoval(change));
    const refusals = applyEntries(this.#socket, removals);
    beforeAdditions?.();
    // What replaces a route of ours may; a new one must not take the place of somebody else's.
    const isNew = (change: EntryChange): boolean => change.do === 'set-route' && change.replaces !== true;
    for (const [change, error] of applyEntries(this.#socket, additions, isNew)) refusals.set(change, error);
    this.#requests += changes.length;
    if ([...refusals.values()].some(error => error.code === 'EEXIST')) return false;
    for (const [change, error] of refusals) this.#refusals.set(change, error);
    return true;
  }

  /** Entries of peers that the kernel refused since the last comparison, and why. */
  get refusals(): ReadonlyMap<EntryChange, NetError> {
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

  #diffBase(base: DesiredState): KernelChange[] {
    return diff(base, observeBase(this.#socket, this.#scope, base), this.#scope);
  }

  /**
   * Removes our routes. What hangs on the device ends with the device. A failure does not stop the rest.
   * @returns the failures
   */
  removeRoutes(): unknown[] {
    try {
      const { routes } = observe(this.#socket, this.#scope, NOTHING);
      const removals = routes
        .filter(route => isOurs(route, this.#scope))
        .map(route => ({ do: 'delete-route', route }) as const);
      return [...applyEntries(this.#socket, removals).values()];
    } catch (error) {
      return [error];
    }
  }

  close(): void {
    this.#socket.close();
  }

  #remember(change: KernelChange): void {
    if (change.do === 'set-sysctl' && change.former !== undefined)
      this.#former.addSysctl(change.name, change.former);
    if (change.do === 'set-route' && change.former && !isOurs(change.former, this.#scope))
      this.#former.addRoute(change.route.destination, change.former.original);
  }
}

/** Changes on entries of peers that follow one another, as one part; each other change for itself. */
function partsOf(changes: readonly KernelChange[]): (KernelChange | EntryChange[])[] {
  const parts: (KernelChange | EntryChange[])[] = [];
  for (const change of changes) {
    const last = parts.at(-1);
    if (!isEntryChange(change)) parts.push(change);
    else if (Array.isArray(last)) last.push(change);
    else parts.push([change]);
  }
  return parts;
}
