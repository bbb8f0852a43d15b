import { mapIpv4 } from '../../../encap/wire/addresses.ts';
import * as arp from '../../../encap/wire/arp.ts';
import * as ethernet from '../../../encap/wire/ethernet.ts';

/**
 * Finds the VTEP MAC of the peer that an overlay neighbour's address belongs to.
 * @param address 16 bytes, IPv4 mapped
 * @returns 6 bytes, or undefined when no peer has that address
 */
export type NeighbourLookup = (address: Uint8Array) => Uint8Array | undefined;

/** Whether the 6 bytes at `off` are a unicast MAC: no group bit, not all zero. */
export function isUnicastMac(view: DataView, off: number): boolean {
  return (view.getUint8(off) & 1) === 0 && (view.getUint16(off) !== 0 || view.getUint32(off + 2) !== 0);
}

/**
 * The reply to the ARP request in the untagged Ethernet frame at `off`, in the name of the peer that has the address.
 * There is no reply to
 * - replies and announcements (sender and target address equal), which request nothing;
 * - probes (sender 0.0.0.0, RFC 5227): they ask whether the address is in use on this link, and a peer's address is on
 *   another link, as for the kernel's proxy ARP;
 * - senders whose MAC or address is not unicast.
 * @returns a frame of 42 bytes to write to the device, or undefined
 */
export function arpReply(
  view: DataView,
  off: number,
  length: number,
  lookup: NeighbourLookup,
): Uint8Array | undefined {
  const at = off + ethernet.BYTES;
  if (ethernet.check(view, off, length) === 0 || ethernet.type(view, off) !== ethernet.TYPE_ARP)
    return undefined;
  if (arp.check(view, at, length - ethernet.BYTES) === 0 || arp.operation(view, at) !== arp.REQUEST)
    return undefined;
  const sender = arp.senderAddress(view, at);
  if (sender === 0 || sender >= 0xe0000000 || sender === arp.targetAddress(view, at)) return undefined;
  if (!isUnicastMac(view, at + 8)) return undefined;
  const mac = lookup(mapIpv4(view, at + 24));
  if (!mac) return undefined;

  const frame = new Uint8Array(ethernet.BYTES + arp.BYTES);
  const request = new Uint8Array(view.buffer, view.byteOffset + at, arp.BYTES);
  // Sender MAC and address of the request, 10 bytes at 8, become the target of the reply, 10 bytes at 18.
  frame.set(request.subarray(8, 14), 0);
  frame.set(mac, 6);
  frame.set(request, ethernet.BYTES);
  const out = new DataView(frame.buffer);
  ethernet.setType(out, 0, ethernet.TYPE_ARP);
  arp.setOperation(out, ethernet.BYTES, arp.REPLY);
  frame.set(mac, ethernet.BYTES + 8);
  frame.set(request.subarray(24, 28), ethernet.BYTES + 14);
  frame.set(request.subarray(8, 18), ethernet.BYTES + 18);
  return frame;
}
