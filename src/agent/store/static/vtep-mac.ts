import { createHash } from 'node:crypto';
import { macText } from '../../../../encap/wire/addresses.ts';
import { canonicalAddress } from '../../../ip/address.ts';

/**
 * MAC of a VTEP from what identifies it: every Ripstop node derives the same one for a peer, so that a static list of
 * peers needs no MAC. Unicast and locally administered (bits 0 and 1 of the first byte, IEEE 802).
 * @param address underlay address that the peer is known by
 */
export function vtepMac(vni: number, address: string): string {
  const digest = createHash('sha256')
    .update(`ripstop vtep ${vni} ${canonicalAddress(address)}`)
    .digest();
  const [first = 0, ...rest] = digest.subarray(0, 6);
  return macText(Uint8Array.of((first & 0xfc) | 0x02, ...rest));
}
