import { elementAt } from '../../base/at.ts';
import { readPeer } from './peer-table.ts';
import { addressTable, findAddress } from './source-table.ts';
import type { TableView } from './tables.ts';

/*
 * Neighbours: overlay address of a VTEP -> its peer, whose record holds the MAC. ARP and neighbour discovery are answered
 * from this table. The tag tells IPv4 from IPv6. Cold: about one look-up per minute and peer.
 */

/** An overlay address: one word (IPv4) or four (IPv6), big-endian values as signed int32. */
export interface OverlayAddress {
  readonly family: 4 | 6;
  readonly words: ArrayLike<number>;
}

interface VtepEntry extends OverlayAddress {
  readonly peer: number;
}

export const NEIGHBOURS = addressTable(0, ({ family, words, peer }: VtepEntry) => ({
  words: family === 6 ? words : [0, 0, 0, elementAt(words, 0)],
  tag: family,
  peer,
}));

/** Peer slot whose VTEP has this overlay address, -1 for none. */
export function findNeighbour(view: TableView, address: OverlayAddress): number {
  const { family, words } = address;
  const at = (word: number) => elementAt(words, word);
  if (family === 4) return findAddress(view.neighbours, 0, 0, 0, 0, at(0), 4);
  return findAddress(view.neighbours, 0, at(0), at(1), at(2), at(3), 6);
}

/** A copy of the MAC of the VTEP with this overlay address (16 bytes, IPv4 mapped), undefined when no peer has the address. */
export function copyMac(view: TableView, address: Uint8Array): Uint8Array | undefined {
  const from = new DataView(address.buffer, address.byteOffset, 16);
  const isIpv4 = from.getInt32(0) === 0 && from.getInt32(4) === 0 && from.getInt32(8) === 0xffff;
  const words = (isIpv4 ? [12] : [0, 4, 8, 12]).map(offset => from.getInt32(offset));
  const peer = findNeighbour(view, { family: isIpv4 ? 4 : 6, words });
  const mac = peer === -1 ? undefined : readPeer(view.peers, peer)?.mac;
  if (!mac) return undefined;
  const bytes = new Uint8Array(6);
  const out = new DataView(bytes.buffer);
  out.setUint16(0, mac.hi);
  out.setInt32(2, mac.lo);
  return bytes;
}
