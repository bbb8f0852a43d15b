import * as ethernet from '../../../encap/wire/ethernet.ts';
import { BYTES } from '../../../encap/wire/measure.ts';
import * as vlan from '../../../encap/wire/vlan.ts';
import { RipstopError } from '../../base/errors.ts';
import { openCapture } from '../../capture/format/open.ts';
import { LINK_ETHERNET, LINK_RAW } from '../../capture/format/packet.ts';
import { HEADERS } from './udp-sender.ts';

/* Sizes are bytes of IP packets, which mean the same on every device. An Ethernet frame has 18 more, with its check sequence. */

/** Smallest packet that holds the header: of IPv4, 46 bytes, which is an Ethernet frame of 64. */
export const sizeMin = (family: 4 | 6): number => HEADERS[family] + BYTES;
export const SIZE_MAX = 65_535;
/** What Ethernet carries (IEEE 802.3). */
export const ETHERNET_MTU = 1500;

/** The simple Internet mix: 7 of 40 bytes, 4 of 576, 1 of 1500, interleaved. The small ones are raised to what holds the header. */
const IMIX = [40, 576, 40, 40, 576, 40, 1500, 40, 576, 40, 576, 40];

/** Packets of a capture whose sizes are used. */
const CAPTURED_MAX = 65_536;

export type Sizes =
  | { readonly kind: 'fixed'; readonly bytes: number }
  | { readonly kind: 'imix' }
  | { readonly kind: 'capture'; readonly path: string };

/** Reads `1500`, `imix`, or the name of a capture file. @throws RipstopError ECONFIG */
export function parseSizes(text: string): Sizes {
  if (text.toLowerCase() === 'imix') return { kind: 'imix' };
  if (!/^\d+$/.test(text)) return { kind: 'capture', path: text };
  const bytes = Number(text);
  if (bytes < sizeMin(4) || bytes > SIZE_MAX)
    throw new RipstopError(
      'ECONFIG',
      `a size of ${text} bytes`,
      `IP packets have from ${sizeMin(4)} (IPv4) or ${sizeMin(6)} (IPv6) to ${SIZE_MAX} bytes`,
    );
  return { kind: 'fixed', bytes };
}

/**
 * The bytes of the packets, in turn.
 * @param mtu those of a mix or a capture that are larger are cut to it
 * @throws RipstopError ECONFIG, ECAPTURE
 */
export async function sizesOf(sizes: Sizes, family: 4 | 6, mtu = SIZE_MAX): Promise<Uint16Array> {
  const min = sizeMin(family);
  const raised = (list: readonly number[]) =>
    Uint16Array.from(list, bytes => Math.min(mtu, Math.max(min, bytes)));
  switch (sizes.kind) {
    case 'imix':
      return raised(IMIX);
    case 'capture':
      return raised(await capturedSizes(sizes.path));
    case 'fixed':
      if (sizes.bytes < min)
        throw new RipstopError(
          'ECONFIG',
          `a size of ${sizes.bytes} bytes`,
          `an IPv${family} packet has at least ${min} with the header of a measured packet`,
        );
      return Uint16Array.of(sizes.bytes);
  }
}

/** The bytes of the IP packets of a capture. */
async function capturedSizes(path: string): Promise<number[]> {
  const reader = await openCapture(path);
  const sizes: number[] = [];
  for await (const { bytes, length, interface: at } of reader.packets()) {
    const link = reader.interfaces[at]?.link;
    if (link !== LINK_ETHERNET && link !== LINK_RAW) continue;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const header = link === LINK_ETHERNET ? vlan.linkBytes(view, 0, bytes.length) || ethernet.BYTES : 0;
    sizes.push(length - header);
    if (sizes.length === CAPTURED_MAX) break;
  }
  if (sizes.length === 0)
    throw new RipstopError('ECAPTURE', `${path}: no packet of Ethernet or IP`, 'give a capture with packets');
  return sizes;
}
