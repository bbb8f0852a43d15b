import { copyBytes } from './addresses.ts';

/*
 * TCP (RFC 9293 section 3.1).
 *
 *   0  source port       2
 *   2  destination port  2
 *   4  sequence          4
 *   8  acknowledgement   4
 *  12  header length in words 4 bits, reserved 4 bits
 *  13  flags             1   CWR ECE URG ACK PSH RST SYN FIN
 *  14  window            2
 *  16  checksum          2
 *  18  urgent pointer    2
 *  20  options
 *
 * Accessors are unchecked by contract: call them only after `check` returned a length.
 */
export const MIN_BYTES = 20;

export const FIN = 0x01;
export const SYN = 0x02;
export const RST = 0x04;
export const PSH = 0x08;
export const ACK = 0x10;
const URG = 0x20;
export const CWR = 0x80;

/** Bytes of the header with options when they fit into `length` bytes at `off`, else 0. */
export function check(view: DataView, off: number, length: number): number {
  if (length < 20) return 0;
  const header = (view.getUint8(off + 12) >> 4) << 2;
  return header >= 20 && header <= length ? header : 0;
}

/** Both ports in one big-endian, signed word: the flow part of a hash. */
export function ports(view: DataView, off: number): number {
  return view.getInt32(off);
}

export function sequence(view: DataView, off: number): number {
  return view.getUint32(off + 4);
}

export function acknowledgement(view: DataView, off: number): number {
  return view.getUint32(off + 8);
}

/** Bytes of the header with options. */
export function headerBytes(view: DataView, off: number): number {
  return (view.getUint8(off + 12) >> 4) << 2;
}

export function flags(view: DataView, off: number): number {
  return view.getUint8(off + 13);
}

export function setSequence(view: DataView, off: number, value: number): void {
  view.setUint32(off + 4, value);
}

export function setFlags(view: DataView, off: number, value: number): void {
  view.setUint8(off + 13, value);
}

export interface Tcp {
  sourcePort: number;
  destinationPort: number;
  sequence: number;
  acknowledgement: number;
  flags: number;
  window: number;
  checksum: number;
  urgentPointer: number;
  /** Raw options, a multiple of 4 bytes, at most 40. */
  options: Uint8Array;
}

/** The header as a value, or undefined when `check` refuses it. The reserved bits are not kept. */
export function parse(view: DataView, off: number, length: number): Tcp | undefined {
  const header = check(view, off, length);
  if (header === 0) return undefined;
  return {
    sourcePort: view.getUint16(off),
    destinationPort: view.getUint16(off + 2),
    sequence: sequence(view, off),
    acknowledgement: acknowledgement(view, off),
    flags: flags(view, off),
    window: view.getUint16(off + 14),
    checksum: view.getUint16(off + 16),
    urgentPointer: view.getUint16(off + 18),
    options: copyBytes(view, off + 20, header - 20),
  };
}

/** Flags in tcpdump's letters: `S`, `.` for ACK, `P.`, `none`. */
export function formatFlags(value: number): string {
  const letters = 'FSRP.UEW';
  let text = '';
  for (let bit = 0; bit < 8; bit++) if (value & (1 << bit)) text += letters[bit];
  return text === '' ? 'none' : text;
}

/** `Flags [S], seq 1, win 64240, length 0`, with absolute numbers; `payload` is the bytes after the header. */
export function format(header: Tcp, payload: number): string {
  const { flags: bits, sequence: first } = header;
  const spans = payload > 0 || (bits & (SYN | FIN | RST)) !== 0;
  let text = `Flags [${formatFlags(bits)}]`;
  if (spans) text += `, seq ${first}${payload > 0 ? `:${(first + payload) >>> 0}` : ''}`;
  if (bits & ACK) text += `, ack ${header.acknowledgement}`;
  text += `, win ${header.window}`;
  if (bits & URG) text += `, urg ${header.urgentPointer}`;
  return `${text}, length ${payload}`;
}
