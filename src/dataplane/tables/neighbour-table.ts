import { wordAt } from './buckets.ts';
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

/**
 * Copies the MAC of the VTEP with this overlay address (16 bytes, IPv4 mapped) to `to`.
 * @returns false when no peer has the address
 */
export function copyMac(view: TableView, address: Uint8Array, to: Uint8Array): boolean {
  const from = new DataView(address.buffer, address.byteOffset, 16);
  const isIpv4 = from.getInt32(0) === 0 && from.getInt32(4) === 0 && from.getInt32(8) === 0xffff;
  const words = (isIpv4 ? [12] : [0, 4, 8, 12]).map(offset => from.getInt32(offset));
  const peer = findNeighbour(view, { family: isIpv4 ? 4 : 6, words });
  const mac = peer === -1 ? undefined : readPeer(view.peers, peer)?.mac;
  if (!mac) return false;
  const out = new DataView(to.buffer, to.byteOffset, 6);
  out.setUint16(0, mac.hi);
  out.setInt32(2, mac.lo);
  return true;
}
