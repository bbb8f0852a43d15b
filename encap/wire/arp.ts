import { formatIpv4, formatMac, writeIpv4, writeMac } from './addresses.ts';

/*
 * ARP for IPv4 over Ethernet (RFC 826).
 *
 *   0  hardware type     2   1
 *   2  protocol type     2   0x0800
 *   4  hardware length   1   6
 *   5  protocol length   1   4
 *   6  operation         2   1 request, 2 reply
 *   8  sender MAC        6
 *  14  sender address    4
 *  18  target MAC        6
 *  24  target address    4
 */
export const BYTES = 28;

export const REQUEST = 1;
export const REPLY = 2;

/** 28 when `length` bytes at `off` hold ARP for IPv4 over Ethernet, else 0. */
export function check(view: DataView, off: number, length: number): number {
  return length >= 28 && view.getUint32(off) === 0x00010800 && view.getUint16(off + 4) === 0x0604 ? 28 : 0;
}

export function operation(view: DataView, off: number): number {
  return view.getUint16(off + 6);
}

/** Sender address, big-endian. */
export function senderAddress(view: DataView, off: number): number {
  return view.getUint32(off + 14);
}

/** Target address, big-endian. */
export function targetAddress(view: DataView, off: number): number {
  return view.getUint32(off + 24);
}

export function setOperation(view: DataView, off: number, value: number): void {
  view.setUint16(off + 6, value);
}

export interface Arp {
  operation: number;
  senderMac: string;
  senderAddress: string;
  targetMac: string;
  targetAddress: string;
}

/** The message as a value, or undefined when it is cut short or for other than IPv4 over Ethernet. */
export function parse(view: DataView, off: number, length: number): Arp | undefined {
  if (check(view, off, length) === 0) return undefined;
  return {
    operation: operation(view, off),
    senderMac: formatMac(view, off + 8),
    senderAddress: formatIpv4(view, off + 14),
    targetMac: formatMac(view, off + 18),
    targetAddress: formatIpv4(view, off + 24),
  };
}

/** Writes the message; returns its bytes. Throws RangeError on a text that is no address. */
export function emit(view: DataView, off: number, message: Arp): number {
  view.setUint32(off, 0x00010800);
  view.setUint16(off + 4, 0x0604);
  setOperation(view, off, message.operation);
  writeMac(view, off + 8, message.senderMac);
  writeIpv4(view, off + 14, message.senderAddress);
  writeMac(view, off + 18, message.targetMac);
  writeIpv4(view, off + 24, message.targetAddress);
  return 28;
}

/** `Request who-has 10.0.0.2 tell 10.0.0.1`. */
export function format(message: Arp): string {
  if (message.operation === REPLY) return `Reply ${message.senderAddress} is-at ${message.senderMac}`;
  if (message.operation !== REQUEST) return `operation ${message.operation}`;
  const known = message.targetMac === '00:00:00:00:00:00' ? '' : ` (${message.targetMac})`;
  return `Request who-has ${message.targetAddress}${known} tell ${message.senderAddress}`;
}
