import type { NetError } from '../../net/error.ts';
import { NetlinkSocket } from '../../net/rtnetlink/socket.ts';
import { isSysctlRefusal, refusedSysctls } from '../../net/sysctl.ts';
import { applyChange, applyEntries } from './apply.ts';
import { type EntryChange, isEntryChange, isRemoval, type KernelChange } from './change.ts';
import { connectedRoutes, diff } from './diff.ts';
import type { FormerState } from './former-state.ts';
import { isOurs, observe, observeBase } from './observe.ts';
import type { DesiredState, ObservedRoute, OwnershipScope } from './state.ts';

/** Keeps the kernel state of one overlay as it should be. */
export class KernelReconciler {
  readonly #socket: NetlinkSocket;
  #scope: OwnershipScope;
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

  /** Routes of connected networks to destinations of peers: routes of ours are not set there. @throws NetError */
  connected(wanted: DesiredState): ObservedRoute[] {
    const { routes } = observe(this.#socket, this.#scope, wanted);
    return connectedRoutes(wanted.routes, routes, this.#scope);
  }

  /** The changes that `apply` would make, except sysctls that were refused. Changes nothing. @throws RipstopError, NetError */
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
   * Adds what is missing and removes what is stale. A sysctl that may not be written, or an entry of a peer that the kernel
   * refuses (see `refusals`), does not stop the other changes.
   * @param beforeAdditions called between removals and additions of entries: the moment to change the data plane's peers
   * @returns the changes that were made
   * @throws NetError naming the change that failed: for a sysctl after all other changes, otherwise at once. What was made
   *   stays.
   */
  apply(wanted: DesiredState, beforeAdditions?: () => void): KernelChange[] {
    this.#refusals.clear();
    // The base comes first: the kernel removes entries when a device loses an address, is set down, or gets another MAC.
    const { made, refused } = this.#makeBase(this.#diffBase(withoutEntries(wanted)));
    const entries = this.#diff(wanted).filter(isEntryChange);
    this.#dumps++;
    const removed = this.#makeEntries(entries.filter(isRemoval));
    beforeAdditions?.();
    const added = this.#makeEntries(entries.filter(change => !isRemoval(change)));
    // Routes that flannel leaves later, or that a person makes, are not leftovers.
    this.#scope = { ...this.#scope, leftovers: undefined };
    if (refused !== undefined) throw refused;
    return [...made, ...removed, ...added];
  }

  #diffBase(base: DesiredState): KernelChange[] {
    return diff(base, observeBase(this.#socket, this.#scope, base), this.#scope);
  }

  /** @returns the changes that were made, and the first refusal of a sysctl. @throws NetError */
  #makeBase(changes: readonly KernelChange[]): { made: KernelChange[]; refused: unknown } {
    const made: KernelChange[] = [];
    let refused: unknown;
    for (const change of changes) {
      if (isEntryChange(change)) continue;
      try {
        if (!applyChange(this.#socket, change)) continue;
        this.#remember(change);
        made.push(change);
      } catch (error) {
        // The sysctl is the reason for a later failure, for instance of an IPv6 address while IPv6 is switched off.
        if (change.do !== 'set-sysctl' || !isSysctlRefusal(error)) throw refused ?? error;
        refused ??= error;
      }
    }
    return { made, refused };
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
   * Makes changes of entries of peers without observing the kernel state first.
   * @param beforeAdditions as in `apply`
   * @returns false when a route of others has the same destination: `apply` must compare
   * @throws NetError when the device is gone
   */
  change(changes: readonly EntryChange[], beforeAdditions?: () => void): boolean {
    const removals = changes.filter(isRemoval);
    const additions = changes.filter(change => !isRemoval(change));
    const refusals = applyEntries(this.#socket, removals);
    beforeAdditions?.();
    // Only a route that replaces one of ours may displace another route.
    const isNew = (change: EntryChange): boolean => change.do === 'set-route' && change.replaces !== true;
    for (const [change, error] of applyEntries(this.#socket, additions, isNew)) refusals.set(change, error);
    this.#requests += changes.length;
    if ([...refusals.values()].some(error => error.code === 'EEXIST')) return false;
    for (const [change, error] of refusals) this.#refusals.set(change, error);
    return true;
  }

  /** Entries of peers that the kernel refused since the last comparison, with the errors. */
  get refusals(): ReadonlyMap<EntryChange, NetError> {
    return this.#refusals;
  }

  /** Counts since the start: comparisons with the whole kernel state, and requests for entries of peers. */
  get work(): { readonly dumps: number; readonly requests: number } {
    return { dumps: this.#dumps, requests: this.#requests };
  }

  /** True when device and sysctls are as desired. Does not compare the entries of peers. @throws RipstopError, NetError */
  isBaseRight(base: DesiredState): boolean {
    return this.#withoutRefused(this.#diffBase(base)).length === 0;
  }

  /**
   * Removes our routes, and restores those of others that they replaced; addresses and neighbours end with the device. A
   * failure does not stop the rest.
   * @param wanted its routes may be gone together with the device
   * @returns the failures
   */
  removeRoutes(wanted: DesiredState): unknown[] {
    const failures: unknown[] = [];
    const destinations = new Set(wanted.routes.map(({ destination }) => destination));
    try {
      const { routes } = observe(this.#socket, this.#scope, wanted);
      const ours = routes.filter(route => isOurs(route, this.#scope));
      for (const { destination } of ours) destinations.add(destination);
      const removals = ours.map(route => ({ do: 'delete-route', route }) as const);
      failures.push(...applyEntries(this.#socket, removals).values());
    } catch (error) {
      failures.push(error);
    }
    for (const destination of destinations)
      try {
        this.#former.restoreRoute(this.#socket, destination);
      } catch (error) {
        failures.push(error);
      }
    return failures;
  }

  close(): void {
    this.#socket.close();
  }

  #remember(change: KernelChange): void {
    if (change.do === 'set-sysctl' && change.former !== undefined)
      this.#former.addSysctl(change.name, change.former);
    if (change.do !== 'set-route' || !change.former || change.adopts) return;
    if (!isOurs(change.former, this.#scope))
      this.#former.addRoute(change.route.destination, change.former.original);
  }
}

function withoutEntries(state: DesiredState): DesiredState {
  return { ...state, neighbours: [], forwarding: [], routes: [] };
}
