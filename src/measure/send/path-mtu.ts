import { RipstopError } from '../../base/errors.ts';
import { mappedBytesOf, requireAddress } from '../../ip/address.ts';
import { native } from '../../native/load.ts';
import { SIZE_MAX } from './sizes.ts';
import type { Target } from './target.ts';

/** The largest IP packet that the kernel sends to `to` in one piece, bytes. */
export function pathMtuTo({ address }: Target): number {
  const mtu = native.udpPathMtu('', mappedBytesOf(requireAddress(address)));
  return mtu > 0 ? mtu : SIZE_MAX;
}

/** A size that was asked for fits the path. @throws RipstopError ECONFIG */
export function requireFit(bytes: number, mtu: number, { address }: Target): void {
  if (bytes > mtu)
    throw new RipstopError(
      'ECONFIG',
      `a size of ${bytes} bytes; the path to ${address} takes at most ${mtu}`,
      `give --size ${mtu} or less`,
    );
}
