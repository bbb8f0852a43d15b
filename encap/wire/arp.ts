import { addressText, copyBytes, macText } from './addresses.ts';

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
  /** 6 bytes; an address has 4. */
  senderMac: Uint8Array;
  senderAddress: Uint8Array;
  targetMac: Uint8Array;
  targetAddress: Uint8Array;
}

/** The message as a value, or undefined when it is cut short or for other than IPv4 over Ethernet. */
export function parse(view: DataView, off: number, length: number): Arp | undefined {
  if (check(view, off, length) === 0) return undefined;
  return {
    operation: operation(view, off),
    senderMac: copyBytes(view, off + 8, 6),
    senderAddress: copyBytes(view, off + 14, 4),
    targetMac: copyBytes(view, off + 18, 6),
    targetAddress: copyBytes(view, off + 24, 4),
  };
}

/** `Request who-has 10.0.0.2 tell 10.0.0.1`. */
export function format(message: Arp): string {
  if (message.operation === REPLY)
    return `Reply ${addressText(message.senderAddress)} is-at ${macText(message.senderMac)}`;
  if (message.operation !== REQUEST) return `operation ${message.operation}`;
  const known = message.targetMac.every(byte => byte === 0) ? '' : ` (${macText(message.targetMac)})`;
  return `Request who-has ${addressText(message.targetAddress)}${known} tell ${addressText(message.senderAddress)}`;
}
