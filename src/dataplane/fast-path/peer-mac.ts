import { PEER_MAC, PEER_STRIDE } from '../tables/peer-table.ts';

/**
 * 1 when the 6 bytes at `at` are the MAC of the peer's VTEP, or the peer's MAC is not known.
 * @hot
 */
export function isMacOfPeer(view: DataView, at: number, peer: number, peers: Int32Array): number {
  const record = peer * PEER_STRIDE + PEER_MAC;
  const high = peers[record]!;
  const low = peers[record + 1]!;
  if (high === 0 && low === 0) return 1;
  return view.getUint16(at) === high && view.getInt32(at + 2) === low ? 1 : 0;
}
