import { copyBytes, writeBytes } from './addresses.ts';
import { finish, sum } from './checksum.ts';

/*
 * IPv4 (RFC 791).
 *
 *   0  version 4 bits, header length in words 4 bits
 *   1  DSCP 6 bits, ECN 2 bits (RFC 2474, RFC 3168)
 *   2  total length      2
 *   4  identification    2
 *   6  reserved, DF, MF, fragment offset in 8-byte units (13 bits)
 *   8  TTL               1
 *   9  protocol          1
 *  10  header checksum   2
 *  12  source            4
 *  16  destination       4
 *  20  options
 *
 * Accessors are unchecked by contract: call them only after `check` returned a length.
 */
export const MIN_BYTES = 20;
/** The smallest MTU that a link may have (RFC 791 section 3.2). */
export const MIN_MTU = 68;

export const PROTOCOL_ICMP = 1;
export const PROTOCOL_TCP = 6;
export const PROTOCOL_UDP = 17;
export const PROTOCOL_SCTP = 132;

/**
 * Bytes of the header, options included, when version, header length and total length fit into `length` bytes at
 * `off`; else 0. Bytes after the total length are padding and allowed. The header checksum is not checked here: the
 * receiving kernel does it, see `isChecksumGood`.
 */
export function check(view: DataView, off: number, length: number): number {
  if (length < 20) return 0;
  const first = view.getUint8(off);
  const header = (first & 15) << 2;
  const total = view.getUint16(off + 2);
  return first >> 4 === 4 && header >= 20 && header <= total && total <= length ? header : 0;
}

export function version(view: DataView, off: number): number {
  return view.getUint8(off) >> 4;
}

/** Bytes of the header with options. */
export function headerBytes(view: DataView, off: number): number {
  return (view.getUint8(off) & 15) << 2;
}

export function totalLength(view: DataView, off: number): number {
  return view.getUint16(off + 2);
}

export function identification(view: DataView, off: number): number {
  return view.getUint16(off + 4);
}

/** Where the payload belongs in the whole, bytes. */
export function fragmentOffset(view: DataView, off: number): number {
  return (view.getUint16(off + 6) & 0x1fff) << 3;
}

/** 1 for any part of a fragmented packet, the first included. */
export function isFragment(view: DataView, off: number): number {
  return (view.getUint16(off + 6) & 0x3fff) !== 0 ? 1 : 0;
}

export function protocol(view: DataView, off: number): number {
  return view.getUint8(off + 9);
}

export function headerChecksum(view: DataView, off: number): number {
  return view.getUint16(off + 10);
}

/** True when the header checksum is right. */
export function isChecksumGood(view: DataView, off: number): boolean {
  return sum(view, off, headerBytes(view, off), 0) === 0xffff;
}

/** Writes the header checksum that the rest of the header asks for. */
function fillChecksum(view: DataView, off: number): void {
  view.setUint16(off + 10, 0);
  view.setUint16(off + 10, finish(sum(view, off, headerBytes(view, off), 0)));
}

export interface Ipv4 {
  /** DSCP and ECN together, the former type of service. */
  tos: number;
  totalLength: number;
  identification: number;
  dontFragment: boolean;
  moreFragments: boolean;
  /** Bytes, a multiple of 8. */
  fragmentOffset: number;
  ttl: number;
  protocol: number;
  /** 4 bytes. */
  source: Uint8Array;
  destination: Uint8Array;
  /** Raw options, a multiple of 4 bytes, at most 40. */
  options: Uint8Array;
}

/** The header as a value, or undefined when `check` refuses it. The reserved flag is not kept. */
export function parse(view: DataView, off: number, length: number): Ipv4 | undefined {
  const header = check(view, off, length);
  if (header === 0) return undefined;
  return {
    tos: view.getUint8(off + 1),
    totalLength: totalLength(view, off),
    identification: identification(view, off),
    dontFragment: (view.getUint8(off + 6) & 0x40) !== 0,
    moreFragments: (view.getUint8(off + 6) & 0x20) !== 0,
    fragmentOffset: fragmentOffset(view, off),
    ttl: view.getUint8(off + 8),
    protocol: protocol(view, off),
    source: copyBytes(view, off + 12, 4),
    destination: copyBytes(view, off + 16, 4),
    options: copyBytes(view, off + 20, header - 20),
  };
}

/** Writes the header with its checksum; returns its bytes. Throws RangeError on options or addresses that cannot be. */
export function emit(view: DataView, off: number, header: Ipv4): number {
  const { options } = header;
  if (options.length > 40 || options.length % 4 !== 0)
    throw new RangeError(`${options.length} bytes of IPv4 options; they come in words, at most 40 bytes`);
  view.setUint8(off, 0x45 + options.length / 4);
  view.setUint8(off + 1, header.tos);
  view.setUint16(off + 2, header.totalLength);
  view.setUint16(off + 4, header.identification);
  const flags = (header.dontFragment ? 0x4000 : 0) | (header.moreFragments ? 0x2000 : 0);
  view.setUint16(off + 6, flags | (header.fragmentOffset >> 3));
  view.setUint8(off + 8, header.ttl);
  view.setUint8(off + 9, header.protocol);
  writeBytes(view, off + 12, header.source, 4);
  writeBytes(view, off + 16, header.destination, 4);
  writeBytes(view, off + 20, options, options.length);
  fillChecksum(view, off);
  return 20 + options.length;
}
