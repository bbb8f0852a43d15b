import type { Peer, PeerChanges } from '../../dataplane/descriptor/peer.ts';
import { covers } from '../../ip/prefix.ts';
import type { NetEvent } from '../../net/rtnetlink/events.ts';
import { TABLE_MAIN } from '../../net/rtnetlink/routes.ts';
import type { EntryChange } from './apply.ts';
import { entriesOf, type OverlaySpec, ownRoutes } from './desired.ts';
import {
  type DesiredState,
  type ForwardingEntry,
  type NeighbourEntry,
  type OwnershipScope,
  PROTOCOL_RIPSTOP,
  type RouteEntry,
} from './state.ts';

/** What is wanted under one key, first come first served: two peers may ask for the same entry. */
class Claims<T> {
  readonly #byKey = new Map<string, { readonly peer: string; readonly entry: T }[]>();

  /** The entry that holds. */
  of(key: string): T | undefined {
    return this.#byKey.get(key)?.[0]?.entry;
  }

  /** Whose entry holds. */
  peerOf(key: string): string | undefined {
    return this.#byKey.get(key)?.[0]?.peer;
  }

  add(key: string, peer: string, entry: T): void {
    const claims = this.#byKey.get(key);
    if (claims) claims.push({ peer, entry });
    else this.#byKey.set(key, [{ peer, entry }]);
  }

  remove(key: string, peer: string): void {
    const claims = this.#byKey.get(key);
    const left = claims?.filter(claim => claim.peer !== peer) ?? [];
    if (left.length > 0) this.#byKey.set(key, left);
    else this.#byKey.delete(key);
  }

  all(): T[] {
    return [...this.#byKey.values()].flatMap(([first]) => (first ? [first.entry] : []));
  }
}

const pairOf = ({ mac, remote }: ForwardingEntry): string => `${mac} ${remote}`;

/**
 * The kernel entries that the peers of one overlay want, kept from one change to the next: a change gives the changes for
 * the peers that it names and for nobody else.
 */
export class EntryBook {
  readonly #overlay: OverlaySpec;
  readonly #peers = new Map<string, Peer>();
  readonly #neighbours = new Claims<NeighbourEntry>();
  readonly #forwarding = new Claims<ForwardingEntry>();
  readonly #routes = new Claims<RouteEntry>();

  constructor(overlay: OverlaySpec, peers: Iterable<Peer> = []) {
    this.#overlay = overlay;
    for (const route of ownRoutes(overlay)) this.#routes.add(route.destination, '', route);
    for (const peer of peers) this.#add(peer);
  }

  /** All that is wanted. */
  get entries(): Pick<DesiredState, 'neighbours' | 'forwarding' | 'routes'> {
    return {
      neighbours: this.#neighbours.all(),
      forwarding: this.#forwarding.all(),
      routes: this.#routes.all(),
    };
  }

  /** The peer that a change is for, undefined when it is for none. */
  peerOf(change: EntryChange): string | undefined {
    switch (change.do) {
      case 'set-neighbour':
        return this.#neighbours.peerOf(change.address);
      case 'set-forwarding':
        return this.#forwarding.peerOf(pairOf(change));
      case 'set-route':
        return this.#routes.peerOf(change.route.destination) || undefined;
      default:
        return undefined;
    }
  }

  /** Changes some peers. @returns what that takes, removals first */
  change({ set, removed }: PeerChanges): EntryChange[] {
    const before = new Touched(this.#neighbours, this.#forwarding, this.#routes);
    for (const id of removed) this.#remove(id, before);
    for (const peer of set) {
      this.#remove(peer.id, before);
      before.note(entriesOf(this.#overlay, peer));
    }
    for (const peer of set) this.#add(peer);
    return this.#changes(before);
  }

  #add(peer: Peer): void {
    const { neighbours, forwarding, routes } = entriesOf(this.#overlay, peer);
    this.#peers.set(peer.id, peer);
    for (const entry of neighbours) this.#neighbours.add(entry.address, peer.id, entry);
    for (const entry of forwarding) this.#forwarding.add(pairOf(entry), peer.id, entry);
    for (const entry of routes) this.#routes.add(entry.destination, peer.id, entry);
  }

  #remove(id: string, before: Touched): void {
    const peer = this.#peers.get(id);
    if (!peer) return;
    const entries = entriesOf(this.#overlay, peer);
    before.note(entries);
    this.#peers.delete(id);
    for (const entry of entries.neighbours) this.#neighbours.remove(entry.address, id);
    for (const entry of entries.forwarding) this.#forwarding.remove(pairOf(entry), id);
    for (const entry of entries.routes) this.#routes.remove(entry.destination, id);
  }

  #changes(before: Touched): EntryChange[] {
    const device = this.#overlay.device ?? '';
    const removals: EntryChange[] = [];
    const additions: EntryChange[] = [];
    for (const [address, was] of before.neighbours) {
      const is = this.#neighbours.of(address);
      if (was && !is) removals.push({ do: 'delete-neighbour', device, ...was });
      if (is && was?.mac !== is.mac) additions.push({ do: 'set-neighbour', device, ...is });
    }
    for (const [pair, was] of before.forwarding) {
      const is = this.#forwarding.of(pair);
      if (was && !is) removals.push({ do: 'delete-forwarding', device, ...was });
      if (is && !was) additions.push({ do: 'set-forwarding', device, ...is });
    }
    for (const [destination, was] of before.routes) {
      const is = this.#routes.of(destination);
      if (was && !is) removals.push({ do: 'delete-route', route: was });
      // A route of another shape is taken away first: in IPv6 a new gateway would stand beside the old one.
      const isOther = was && is && (was.device !== is.device || was.onlink !== is.onlink);
      if (isOther) removals.push({ do: 'delete-route', route: was });
      if (is && (!was || isOther || was.gateway !== is.gateway))
        additions.push({
          do: 'set-route',
          route: is,
          former: undefined,
          replaces: was !== undefined && !isOther,
        });
    }
    return [...removals, ...additions];
  }

  /** True when an event tells of something that is not as it is wanted here. */
  contradicts(event: NetEvent, scope: OwnershipScope, deviceIndex: number | undefined): boolean {
    if (event.kind === 'neighbour') {
      const { link, address, mac, permanent } = event.neighbour;
      if (link !== deviceIndex) return false;
      const wanted = this.#neighbours.of(address);
      if (!wanted) return permanent && !event.gone;
      return event.gone || !permanent || mac !== wanted.mac;
    }
    if (event.kind !== 'route') return false;
    const { route } = event;
    if (route.table !== TABLE_MAIN) return false;
    const wanted = this.#routes.of(route.destination);
    const isOurs =
      route.protocol === PROTOCOL_RIPSTOP &&
      ((route.link !== undefined && route.link === deviceIndex) ||
        scope.networks.some(network => covers(network, route.destination)));
    if (event.gone) return wanted !== undefined && isOurs;
    if (!wanted) return isOurs;
    return !isOurs || route.gateway !== wanted.gateway;
  }
}

/** What stood under each key that a change touches, before it. */
class Touched {
  readonly neighbours = new Map<string, NeighbourEntry | undefined>();
  readonly forwarding = new Map<string, ForwardingEntry | undefined>();
  readonly routes = new Map<string, RouteEntry | undefined>();
  readonly #sources: readonly [Claims<NeighbourEntry>, Claims<ForwardingEntry>, Claims<RouteEntry>];

  constructor(
    neighbours: Claims<NeighbourEntry>,
    forwarding: Claims<ForwardingEntry>,
    routes: Claims<RouteEntry>,
  ) {
    this.#sources = [neighbours, forwarding, routes];
  }

  note({ neighbours, forwarding, routes }: ReturnType<typeof entriesOf>): void {
    const [known, pairs, ways] = this.#sources;
    for (const { address } of neighbours)
      if (!this.neighbours.has(address)) this.neighbours.set(address, known.of(address));
    for (const entry of forwarding) {
      const pair = pairOf(entry);
      if (!this.forwarding.has(pair)) this.forwarding.set(pair, pairs.of(pair));
    }
    for (const { destination } of routes)
      if (!this.routes.has(destination)) this.routes.set(destination, ways.of(destination));
  }
}
