import { formatIp, viewOf } from '../../../encap/wire/addresses.ts';
import { RipstopError } from '../../base/errors.ts';
import type { Mac } from './fdb.ts';
import type { OverlayAddress } from './neighbour-table.ts';
import { PEER_STRIDE, type PeerRecord, writePeer } from './peer-table.ts';
import type { AddressEntry } from './source-table.ts';
import { checkSubnet, macText, type Subnet, subnetKey, subnetText } from './subnet.ts';

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

/** Something that belongs to one peer alone: what it is called, for the tables and for a person. */
export interface TableEntry<T> {
  readonly key: string;
  readonly what: T;
  readonly text: (what: T) => string;
}

/** What one peer wants in the tables: checked as far as it concerns no other, each thing once. */
export interface PeerEntries {
  readonly id: string;
  /** Its record, as `writePeer` leaves it. */
  readonly record: Int32Array;
  /** The underlay address as the words that `findPeerBySource` takes. */
  readonly source: TableEntry<AddressEntry['words']>;
  readonly macs: readonly TableEntry<Mac>[];
  readonly subnets: readonly TableEntry<Subnet>[];
  readonly vteps: readonly TableEntry<OverlayAddress>[];
}

const known = new WeakMap<PeerInput, PeerEntries>();

/**
 * The entries of a peer. They are worked out once for each object: of a thousand peers that are published again, most are
 * the ones of last time.
 * @throws RipstopError ECONFIG
 */
export function peerEntries(peer: PeerInput): PeerEntries {
  const before = known.get(peer);
  if (before) return before;
  const entries = computeEntries(peer);
  known.set(peer, entries);
  return entries;
}

function computeEntries(peer: PeerInput): PeerEntries {
  checkRecord(peer);
  for (const subnet of peer.subnets) checkSubnet(peer.id, subnet);
  const record = new Int32Array(PEER_STRIDE);
  writePeer(record, 0, { ...peer, mac: peer.mac, scope: peer.scope ?? 0 });
  const words = new Int32Array(Uint8Array.from(peer.address).buffer);
  // A peer without MAC has no VTEP.
  const vteps: readonly OverlayAddress[] = peer.mac ? (peer.vteps ?? peer.subnets) : [];
  return {
    id: peer.id,
    record,
    source: { key: words.join(), what: words, text: () => formatIp(viewOf(peer.address), 0) },
    macs: dedupe([...(peer.mac ? [peer.mac] : []), ...(peer.stations ?? [])], macKey, macText),
    subnets: dedupe(
      peer.subnets,
      ({ words, length }) => subnetKey(words, length),
      ({ words, length }) => subnetText(words, length),
    ),
    vteps: dedupe(
      vteps,
      ({ words }) => subnetKey(words, 0),
      ({ words }) => subnetText(words, words.length * 32),
    ),
  };
}

/** A peer may name the same thing twice; the tables have it once. */
function dedupe<T>(
  things: readonly T[],
  keyOf: (thing: T) => string,
  text: (thing: T) => string,
): TableEntry<T>[] {
  const entries = new Map<string, TableEntry<T>>();
  for (const what of things) {
    const key = keyOf(what);
    entries.set(key, { key, what, text });
  }
  return [...entries.values()];
}

function macKey({ hi, lo }: Mac): string {
  return `${hi} ${lo}`;
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
