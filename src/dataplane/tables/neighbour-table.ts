import { wordAt } from './buckets.ts';
import type { Mac } from './mac.ts';
import { readPeer } from './peer-table.ts';
import { type AddressEntry, clearAddresses, findAddress, putAddress, removeAddress } from './source-table.ts';
import type { TableView } from './tables.ts';

/*
 * Neighbours: overlay address of a VTEP -> its peer, whose record holds the MAC; what ARP and neighbour discovery
 * are answered from. IPv4 and IPv6 stand in one table, told apart by the tag. Cold: asked once a minute and peer.
 */

/** An overlay address: one word (IPv4) or four (IPv6), big-endian values as signed int32. */
export interface OverlayAddress {
  readonly family: 4 | 6;
  readonly words: ArrayLike<number>;
}

export interface VtepEntry extends OverlayAddress {
  readonly peer: number;
}

/** Empties the table, with buckets for `entries`. */
export function clearNeighbours(table: Int32Array, entries = 0): void {
  clearAddresses(table, 0, entries);
}

/** Puts an address in, in the place of the same one. The caller has checked its room. */
export function putNeighbour(table: Int32Array, entry: VtepEntry): void {
  putAddress(table, 0, addressOf(entry));
}

/** Takes an address out. */
export function removeNeighbour(table: Int32Array, entry: VtepEntry): void {
  removeAddress(table, 0, addressOf(entry));
}

function addressOf({ family, words, peer }: VtepEntry): AddressEntry {
  return { words: family === 6 ? words : [0, 0, 0, wordAt(words, 0)], tag: family, peer };
}

/** Peer slot whose VTEP has this overlay address, -1 for none. */
export function findNeighbour(view: TableView, address: OverlayAddress): number {
  const { family, words } = address;
  const at = (word: number) => wordAt(words, word);
  if (family === 4) return findAddress(view.neighbours, 0, 0, 0, 0, at(0), 4);
  return findAddress(view.neighbours, 0, at(0), at(1), at(2), at(3), 6);
}

/** MAC of the VTEP with this overlay address, undefined when no peer has it. */
export function neighbourMac(view: TableView, address: OverlayAddress): Mac | undefined {
  const peer = findNeighbour(view, address);
  return peer === -1 ? undefined : readPeer(view.peers, peer)?.mac;
}
