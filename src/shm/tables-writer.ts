import { formatIp, viewOf } from '../../encap/wire/addresses.ts';
import { RipstopError } from '../base/errors.ts';
import { type AddressEntry, buildAddresses } from './addresses.ts';
import { overflow, type TableCapacity } from './capacity.ts';
import { buildFdb, type FdbEntry, type Mac } from './fdb.ts';
import { buildLpm4, buildLpm6, type PrefixEntry } from './lpm.ts';
import { buildNeighbours, type NeighbourEntry, type OverlayAddress } from './neighbours.ts';
import {
  checkSubnet,
  macText,
  Owners,
  refuseNesting,
  type Subnet,
  subnetKey,
  subnetText,
} from './ownership.ts';
import { type PeerRecord, writePeer } from './peers.ts';
import { PeerSlots } from './slots.ts';
import {
  advance,
  createTables,
  currentView,
  forgetReader,
  nextView,
  openTables,
  staleReaders,
  type Tables,
  type TableView,
} from './tables.ts';

/** One remote node, as the control thread wants it in the tables. */
export interface PeerInput extends Omit<PeerRecord, 'mac' | 'scope'> {
  /** Name that stays the peer's while it lives; its slot and counters hang on it. */
  readonly id: string;
  /** MAC of the peer's VTEP: frames to it go to this peer, neighbour questions are answered with it. */
  readonly mac?: Mac | undefined;
  /** Further MACs behind the peer, where the overlay carries more than routed traffic. */
  readonly stations?: readonly Mac[] | undefined;
  /** Interface index of a link-local underlay address. */
  readonly scope?: number | undefined;
  /** Prefixes whose addresses live behind the peer. */
  readonly subnets: readonly Subnet[];
  /** Overlay addresses of the VTEP; left out, the network address of each subnet, as flannel gives it. */
  readonly vteps?: readonly OverlayAddress[] | undefined;
}

export interface TablesWriterOptions {
  /** Lets a prefix of one peer lie within a shorter one of another; the longest wins. */
  readonly allowNested?: boolean;
  /** Resets what is counted for a slot: its peer is gone, no reader touches it, the next peer may get it. */
  readonly resetSlot?: (slot: number) => void;
}

/** What goes into a half, every entry checked and owned by one peer. */
interface Plan {
  readonly records: { slot: number; record: PeerRecord }[];
  readonly macs: FdbEntry[];
  readonly prefixes4: PrefixEntry[];
  readonly prefixes6: PrefixEntry[];
  readonly sources: AddressEntry[];
  readonly neighbours: NeighbourEntry[];
}

/** The one writer of the tables of a forwarder. Cold; lives on the control thread. */
export class TablesWriter {
  readonly tables: Tables;
  readonly slots: PeerSlots;
  readonly #options: TablesWriterOptions;
  #published: readonly PeerInput[] = [];
  #pending: readonly PeerInput[] | undefined;

  constructor(
    capacity: TableCapacity,
    options: TablesWriterOptions = {},
    slots = new PeerSlots(capacity.peers),
  ) {
    this.tables = openTables(createTables(capacity));
    this.slots = slots;
    this.#options = options;
  }

  /** Memory to hand to the readers. */
  get memory(): SharedArrayBuffer {
    return this.tables.memory;
  }

  /** The peers that readers see. */
  get peers(): readonly PeerInput[] {
    return this.#published;
  }

  /** The half that readers see, for cold look-ups on the writer's thread. */
  get view(): TableView {
    return currentView(this.tables);
  }

  /** True when no reader uses the half that would be written. */
  canPublish(): boolean {
    return staleReaders(this.tables).length === 0;
  }

  /**
   * Makes `peers` the whole set of peers.
   * @returns true when readers see them from now on; false when a reader has not moved on yet: the newest list
   * waits, and `flush` publishes it. A batch lasts well under a millisecond, so a call a little later succeeds.
   * @throws ECONFIG, EOVERLAP (names both peers) or ECAPACITY (names the key); nothing has changed then
   */
  publish(peers: readonly PeerInput[]): boolean {
    checkPeers(peers, this.tables.capacity, this.#options.allowNested ?? false);
    this.#pending = [...peers];
    return this.flush();
  }

  /** Publishes the list that waits, if there is one and readers have moved on. @returns true when none waits */
  flush(): boolean {
    if (this.#pending === undefined) return true;
    if (!this.canPublish()) return false;
    // All readers are in the current generation or idle, so none counts for a peer that vanished before it.
    for (const slot of this.slots.recycle()) this.#options.resetSlot?.(slot);
    const peers = this.#pending;
    if (!this.slots.fits(peers.map(peer => peer.id))) {
      // The vanished must give up their slots first, one generation ahead of those who take them over.
      this.#show(peers.filter(peer => this.slots.of(peer.id) !== undefined));
      return false;
    }
    this.#pending = undefined;
    this.#show(peers);
    return true;
  }

  #show(peers: readonly PeerInput[]): void {
    this.slots.assign(peers.map(peer => peer.id));
    fill(nextView(this.tables), plan(peers, this.slots));
    advance(this.tables);
    this.#published = peers;
  }

  /** The thread of a reader has ended: it holds nothing up from now on. */
  forgetReader(reader: number): void {
    forgetReader(this.tables, reader);
  }

  /**
   * The same peers in the same slots in new, larger memory. Drop this writer, hand the memory to every reader, and
   * publish again only when all have taken it: the new writer knows nothing of readers that linger in the old memory.
   * @throws ECONFIG when `capacity` has fewer peer slots
   */
  grown(capacity: TableCapacity): TablesWriter {
    if (capacity.peers < this.slots.capacity)
      throw new RipstopError(
        'ECONFIG',
        `capacity.peers: ${capacity.peers} is less than the ${this.slots.capacity} so far`,
      );
    const bigger = new TablesWriter(capacity, this.#options, this.slots.grown(capacity.peers));
    bigger.publish(this.#pending ?? this.#published);
    return bigger;
  }
}

/** Everything that can be wrong with a list of peers. */
function checkPeers(peers: readonly PeerInput[], capacity: TableCapacity, allowNested: boolean): void {
  const ids = new Set<string>();
  const subnets: { id: string; subnet: Subnet }[] = [];
  const prefixes = new Owners('subnet', 'give each peer subnets of its own');
  const macs = new Owners('MAC', 'give each VTEP a MAC of its own');
  const addresses = new Owners('underlay address', 'list each node once');
  const vteps = new Owners('VTEP address', 'give each VTEP an address of its own');
  const wanted = { macs: 0, 4: 0, 6: 0, vteps: 0 };
  for (const peer of peers) {
    if (ids.has(peer.id))
      throw new RipstopError('ECONFIG', `peer ${peer.id} is listed twice`, 'list each node once');
    ids.add(peer.id);
    checkRecord(peer);
    addresses.claim(peer.address.join(), peer.id, () => formatIp(viewOf(peer.address), 0));
    for (const mac of macsOf(peer)) if (macs.claim(macKey(mac), peer.id, () => macText(mac))) wanted.macs++;
    for (const subnet of peer.subnets) {
      checkSubnet(peer.id, subnet);
      subnets.push({ id: peer.id, subnet });
      const { family, words, length } = subnet;
      if (prefixes.claim(subnetKey(words, length), peer.id, () => subnetText(words, length)))
        wanted[family]++;
    }
    for (const { words } of vtepsOf(peer))
      if (vteps.claim(subnetKey(words, 0), peer.id, () => subnetText(words, words.length * 32)))
        wanted.vteps++;
  }
  if (!allowNested) refuseNesting(subnets, prefixes);
  if (peers.length > capacity.peers) throw overflow('peers', capacity.peers, peers.length);
  if (wanted.macs > capacity.macs) throw overflow('macs', capacity.macs, wanted.macs);
  const most = Math.max(wanted[4], wanted[6], Math.ceil(wanted.vteps / 2));
  if (most > capacity.prefixes) throw overflow('prefixes', capacity.prefixes, most);
}

/** Numbers of a record that the native senders trust. */
function checkRecord({ id, address, port, header }: PeerInput): void {
  if (address.length !== 16)
    throw new RipstopError(
      'ECONFIG',
      `peer ${id}: an underlay address of ${address.length} bytes`,
      'give 16, IPv4 as ::ffff:a.b.c.d',
    );
  if (!Number.isInteger(port) || port < 1 || port > 65535)
    throw new RipstopError('ECONFIG', `peer ${id}: port ${port} is not within 1..65535`);
  if (header.length > 8)
    throw new RipstopError('ECONFIG', `peer ${id}: a header of ${header.length} bytes, at most 8 fit`);
}

function macKey({ hi, lo }: Mac): string {
  return `${hi} ${lo}`;
}

function macsOf(peer: PeerInput): readonly Mac[] {
  return [...(peer.mac ? [peer.mac] : []), ...(peer.stations ?? [])];
}

/** Overlay addresses of a peer's VTEP; a peer without MAC has no VTEP. */
function vtepsOf(peer: PeerInput): readonly OverlayAddress[] {
  return peer.mac ? (peer.vteps ?? peer.subnets) : [];
}

function plan(peers: readonly PeerInput[], slots: PeerSlots): Plan {
  const result: Plan = { records: [], macs: [], prefixes4: [], prefixes6: [], sources: [], neighbours: [] };
  for (const peer of peers) {
    const slot = slots.of(peer.id)!;
    result.records.push({ slot, record: { ...peer, mac: peer.mac, scope: peer.scope ?? 0 } });
    result.sources.push({ words: new Int32Array(Uint8Array.from(peer.address).buffer), tag: 0, peer: slot });
    // A peer may say the same thing twice; the tables hold it once.
    for (const mac of unique(macsOf(peer), macKey)) result.macs.push({ ...mac, peer: slot });
    for (const subnet of unique(peer.subnets, ({ words, length }) => subnetKey(words, length))) {
      const prefixes = subnet.family === 4 ? result.prefixes4 : result.prefixes6;
      prefixes.push({ words: subnet.words, length: subnet.length, peer: slot });
    }
    for (const vtep of unique(vtepsOf(peer), ({ words }) => subnetKey(words, 0)))
      result.neighbours.push({ family: vtep.family, words: vtep.words, peer: slot });
  }
  return result;
}

function unique<T>(items: readonly T[], keyOf: (item: T) => string): Iterable<T> {
  return new Map(items.map(item => [keyOf(item), item])).values();
}

function fill(view: TableView, content: Plan): void {
  view.peers.fill(0);
  for (const { slot, record } of content.records) writePeer(view.peers, slot, record);
  buildFdb(view.fdb, content.macs);
  buildLpm4(view.prefixes4, content.prefixes4);
  buildLpm6(view.prefixes6, content.prefixes6);
  buildAddresses(view.sources, 0, content.sources);
  buildNeighbours(view.neighbours, content.neighbours);
}
