import { copyBytes, macText, writeBytes } from './addresses.ts';

/*
 * Ethernet II (IEEE 802.3 clause 3.1.1), tags in vlan.ts.
 *
 *   0  destination MAC   6
 *   6  source MAC        6
 *  12  type              2
 *
 * Accessors are unchecked by contract: call them only after `check` said how many bytes are there.
 */
export const BYTES = 14;

export const TYPE_IPV4 = 0x0800;
export const TYPE_ARP = 0x0806;
export const TYPE_VLAN = 0x8100;
export const TYPE_IPV6 = 0x86dd;
/** Service tag (IEEE 802.1ad). */
export const TYPE_SERVICE_VLAN = 0x88a8;

/** Bytes of the untagged header when `length` bytes at `off` hold it, else 0. */
export function check(_view: DataView, _off: number, length: number): number {
  return length >= 14 ? 14 : 0;
}

/** The type field; below 0x0600 it is the length of an IEEE 802.3 frame. */
export function type(view: DataView, off: number): number {
  return view.getUint16(off + 12);
}

export function setType(view: DataView, off: number, value: number): void {
  view.setUint16(off + 12, value);
}

export interface Ethernet {
  /** MAC addresses, 6 bytes. */
  destination: Uint8Array;
  source: Uint8Array;
  type: number;
}

/** The header as a value, or undefined when it is cut short. */
export function parse(view: DataView, off: number, length: number): Ethernet | undefined {
  if (check(view, off, length) === 0) return undefined;
  return { destination: copyBytes(view, off, 6), source: copyBytes(view, off + 6, 6), type: type(view, off) };
}

/** Writes the header; returns its bytes. Throws RangeError on a MAC of other than 6 bytes. */
export function emit(view: DataView, off: number, header: Ethernet): number {
  writeBytes(view, off, header.destination, 6);
  writeBytes(view, off + 6, header.source, 6);
  setType(view, off, header.type);
  return 14;
}

/** `source > destination, ethertype 0x0800`. */
export function format(header: Ethernet): string {
  const type = header.type.toString(16).padStart(4, '0');
  return `${macText(header.source)} > ${macText(header.destination)}, ethertype 0x${type}`;
}
