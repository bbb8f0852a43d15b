import type { Peer, PeerChanges } from '../../dataplane/descriptor/peer.ts';
import { covers } from '../../ip/prefix.ts';
import type { NetEvent } from '../../net/rtnetlink/events.ts';
import { TABLE_MAIN } from '../../net/rtnetlink/routes.ts';
import type { EntryChange } from './change.ts';
import { entriesOf, type KernelEntries, type OverlaySpec, ownRoutes } from './desired.ts';
import {
  type ForwardingEntry,
  type NeighbourEntry,
  type OwnershipScope,
  PROTOCOL_RIPSTOP,
  type RouteEntry,
} from './state.ts';

/** Entries by key, each with the peer that needs it. Of two peers that need one entry, the first one decides it. */
class Entries<T> {
  readonly #keyOf: (entry: T) => string;
  readonly #byKey = new Map<string, { readonly peer: string; readonly entry: T }[]>();
  /** Entries as they were before the changes since the last `drain`, by key. */
  readonly #before = new Map<string, T | undefined>();

  constructor(keyOf: (entry: T) => string) {
    this.#keyOf = keyOf;
  }

  get(key: string): T | undefined {
    return this.#byKey.get(key)?.[0]?.entry;
  }

  peerOf(entry: T): string | undefined {
    return this.#byKey.get(this.#keyOf(entry))?.[0]?.peer;
  }

  add(peer: string, entries: readonly T[]): void {
    for (const entry of entries) {
      const key = this.#touch(entry);
      this.#byKey.set(key, [...(this.#byKey.get(key) ?? []), { peer, entry }]);
    }
  }

  remove(peer: string, entries: readonly T[]): void {
    for (const entry of entries) {
      const key = this.#touch(entry);
      const left = this.#byKey.get(key)?.filter(one => one.peer !== peer) ?? [];
      if (left.length > 0) this.#byKey.set(key, left);
      else this.#byKey.delete(key);
    }
  }

  all(): T[] {
    return [...this.#byKey.values()].flatMap(([first]) => (first ? [first.entry] : []));
  }

  /** What changed since the last call, before and after. */
  drain(): [was: T | undefined, is: T | undefined][] {
    const changes = Array.from(this.#before, ([key, was]): [T | undefined, T | undefined] => [
      was,
      this.get(key),
    ]);
    this.#before.clear();
    return changes;
  }

  #touch(entry: T): string {
    const key = this.#keyOf(entry);
    if (!this.#before.has(key)) this.#before.set(key, this.get(key));
    return key;
  }
}

/** The kernel entries that the peers of one overlay need, so that a change of some peers costs nothing for the others. */
export class EntryBook {
  readonly #overlay: OverlaySpec;
  readonly #peers = new Map<string, Peer>();
  readonly #neighbours = new Entries<NeighbourEntry>(({ address }) => address);
  readonly #forwarding = new Entries<ForwardingEntry>(({ mac, remote }) => `${mac} ${remote}`);
  readonly #routes = new Entries<RouteEntry>(({ destination }) => destination);

  constructor(overlay: OverlaySpec, peers: Iterable<Peer> = []) {
    this.#overlay = overlay;
    this.#routes.add('', ownRoutes(overlay));
    for (const peer of peers) this.#add(peer);
    this.#changes();
  }

  get entries(): KernelEntries {
    return {
      neighbours: this.#neighbours.all(),
      forwarding: this.#forwarding.all(),
      routes: this.#routes.all(),
    };
  }

  /** The peer whose entry a change sets; undefined for a removal, and for an entry of no peer. */
  peerOf(change: EntryChange): string | undefined {
    if (change.do === 'set-neighbour') return this.#neighbours.peerOf(change);
    if (change.do === 'set-forwarding') return this.#forwarding.peerOf(change);
    return change.do === 'set-route' ? this.#routes.peerOf(change.route) || undefined : undefined;
  }

  /** Changes some peers. @returns the changes of the kernel that follow, removals first */
  change({ set, removed }: PeerChanges): EntryChange[] {
    for (const id of removed) this.#remove(id);
    for (const { id } of set) this.#remove(id);
    for (const peer of set) this.#add(peer);
    return this.#changes();
  }

  #add(peer: Peer): void {
    const { neighbours, forwarding, routes } = entriesOf(this.#overlay, peer);
    this.#peers.set(peer.id, peer);
    this.#neighbours.add(peer.id, neighbours);
    this.#forwarding.add(peer.id, forwarding);
    this.#routes.add(peer.id, routes);
  }

  #remove(id: string): void {
    const peer = this.#peers.get(id);
    if (!peer) return;
    const { neighbours, forwarding, routes } = entriesOf(this.#overlay, peer);
    this.#peers.delete(id);
    this.#neighbours.remove(id, neighbours);
    this.#forwarding.remove(id, forwarding);
    this.#routes.remove(id, routes);
  }

  #changes(): EntryChange[] {
    const device = this.#overlay.device ?? '';
    const removals: EntryChange[] = [];
    const additions: EntryChange[] = [];
    for (const [was, is] of this.#neighbours.drain()) {
      if (was && !is) removals.push({ do: 'delete-neighbour', device, ...was });
      if (is && was?.mac !== is.mac) additions.push({ do: 'set-neighbour', device, ...is });
    }
    for (const [was, is] of this.#forwarding.drain()) {
      if (was && !is) removals.push({ do: 'delete-forwarding', device, ...was });
      if (is && !was) additions.push({ do: 'set-forwarding', device, ...is });
    }
    for (const [was, is] of this.#routes.drain()) {
      // A route of another shape is removed first: in IPv6, a new gateway would be added to the old one.
      const isOther = was && is && (was.device !== is.device || was.onlink !== is.onlink);
      if (was && (!is || isOther)) removals.push({ do: 'delete-route', route: was });
      if (is && (!was || isOther || was.gateway !== is.gateway)) {
        const replaces = was !== undefined && !isOther;
        additions.push({ do: 'set-route', route: is, former: undefined, replaces });
      }
    }
    return [...removals, ...additions];
  }

  /** True when an event says that an entry differs from what a peer needs. */
  contradicts(event: NetEvent, scope: OwnershipScope, deviceIndex: number | undefined): boolean {
    if (event.kind === 'neighbour') {
      const { link, address, mac, permanent } = event.neighbour;
      if (link !== deviceIndex) return false;
      const wanted = this.#neighbours.get(address);
      if (!wanted) return permanent && !event.gone;
      return event.gone || !permanent || mac !== wanted.mac;
    }
    if (event.kind !== 'route') return false;
    const { route } = event;
    if (route.table !== TABLE_MAIN) return false;
    const wanted = this.#routes.get(route.destination);
    const isOurs =
      route.protocol === PROTOCOL_RIPSTOP &&
      ((route.link !== undefined && route.link === deviceIndex) ||
        scope.networks.some(network => covers(network, route.destination)));
    if (event.gone) return wanted !== undefined && isOurs;
    if (!wanted) return isOurs;
    return !isOurs || route.gateway !== wanted.gateway;
  }
}
