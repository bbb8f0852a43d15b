import { copyBytes, writeBytes } from './addresses.ts';

/*
 * IPv6 (RFC 8200).
 *
 *   0  version 4 bits, traffic class 8, flow label 20
 *   4  payload length    2   extension headers included
 *   6  next header       1
 *   7  hop limit         1
 *   8  source           16
 *  24  destination      16
 *
 * Accessors are unchecked by contract: call them only after `check` returned a length.
 */
export const BYTES = 40;
/** The smallest MTU that a link may have (RFC 8200 section 5). */
export const MIN_MTU = 1280;

const NEXT_HOP_BY_HOP = 0;
const NEXT_ROUTING = 43;
const NEXT_FRAGMENT = 44;
const NEXT_AH = 51;
export const NEXT_ICMPV6 = 58;
export const NEXT_NONE = 59;
const NEXT_DESTINATION = 60;
const NEXT_MOBILITY = 135;
const NEXT_HIP = 139;
const NEXT_SHIM6 = 140;

/** Most extension headers that `upperLayer` walks: a longer chain has no honest use and costs time. */
const MAX_EXTENSIONS = 8;

/**
 * 40 when version and payload length fit into `length` bytes at `off`, else 0. Bytes after the payload are padding
 * and allowed. A payload length of 0 with bytes behind it would be a jumbogram, which a TUN or TAP cannot carry.
 */
export function check(view: DataView, off: number, length: number): number {
  if (length < 40) return 0;
  return view.getUint8(off) >> 4 === 6 && 40 + view.getUint16(off + 4) <= length ? 40 : 0;
}

export function payloadLength(view: DataView, off: number): number {
  return view.getUint16(off + 4);
}

export function nextHeader(view: DataView, off: number): number {
  return view.getUint8(off + 6);
}

export function hopLimit(view: DataView, off: number): number {
  return view.getUint8(off + 7);
}

/** Bit of `upperLayer`'s result: a fragment header is there. */
export const UPPER_FRAGMENT = 1 << 24;
/** Bit of `upperLayer`'s result: the packet is a fragment and not the first, so its upper header is elsewhere. */
export const UPPER_LATER_FRAGMENT = 1 << 25;

/**
 * Walks the extension headers of a checked packet, at most MAX_EXTENSIONS and never past its payload.
 * @returns upper protocol in bits 0..7, offset of its header from `off` in bits 8..23, UPPER_* bits; -1 when a header
 *   is cut short, the chain is too long, or a hop-by-hop header is not the first
 * @hot
 */
export function upperLayer(view: DataView, off: number): number {
  const end = 40 + view.getUint16(off + 4);
  let next = view.getUint8(off + 6);
  let at = 40;
  let flags = 0;
  for (let count = 0; isExtension(next); count++) {
    if (count === MAX_EXTENSIONS || at + 8 > end || (next === NEXT_HOP_BY_HOP && count > 0)) return -1;
    const kind = next;
    next = view.getUint8(off + at);
    if (kind === NEXT_FRAGMENT) {
      const word = view.getUint16(off + at + 2);
      // A header with offset 0 and no more fragments is not part of a larger packet (RFC 6946).
      if (word & 0xfff9) flags |= word & 0xfff8 ? UPPER_FRAGMENT | UPPER_LATER_FRAGMENT : UPPER_FRAGMENT;
      at += 8;
      // What follows a later fragment's header is data of the upper layer, wherever it was cut.
      if (word & 0xfff8) return (at << 8) | next | flags;
      continue;
    }
    const bytes = view.getUint8(off + at + 1);
    at += kind === NEXT_AH ? (bytes + 2) << 2 : (bytes + 1) << 3;
    if (at > end) return -1;
  }
  return (at << 8) | next | flags;
}

/**
 * True for a next header that `upperLayer` walks over. ESP, no-next-header and every transport end the walk.
 * @hot
 */
export function isExtension(next: number): boolean {
  switch (next) {
    case NEXT_HOP_BY_HOP:
    case NEXT_ROUTING:
    case NEXT_FRAGMENT:
    case NEXT_AH:
    case NEXT_DESTINATION:
    case NEXT_MOBILITY:
    case NEXT_HIP:
    case NEXT_SHIM6:
      return true;
    default:
      return false;
  }
}

/**
 * Upper protocol of a result of `upperLayer` that is not -1.
 * @hot
 */
export function upperProtocol(result: number): number {
  return result & 0xff;
}

/**
 * Offset of the upper header from the IPv6 header, of a result of `upperLayer` that is not -1.
 * @hot
 */
export function upperOffset(result: number): number {
  return (result >> 8) & 0xffff;
}

export function setPayloadLength(view: DataView, off: number, value: number): void {
  view.setUint16(off + 4, value);
}

export function setHopLimit(view: DataView, off: number, value: number): void {
  view.setUint8(off + 7, value);
}

export interface Ipv6 {
  trafficClass: number;
  flowLabel: number;
  payloadLength: number;
  nextHeader: number;
  hopLimit: number;
  /** 16 bytes. */
  source: Uint8Array;
  destination: Uint8Array;
}

/** The fixed header as a value, or undefined when `check` refuses it. */
export function parse(view: DataView, off: number, length: number): Ipv6 | undefined {
  if (check(view, off, length) === 0) return undefined;
  return {
    trafficClass: (view.getUint16(off) >> 4) & 0xff,
    flowLabel: view.getUint32(off) & 0xfffff,
    payloadLength: payloadLength(view, off),
    nextHeader: nextHeader(view, off),
    hopLimit: hopLimit(view, off),
    source: copyBytes(view, off + 8, 16),
    destination: copyBytes(view, off + 24, 16),
  };
}

/** Writes the fixed header; returns its bytes. Throws RangeError on an address of a wrong length. */
export function emit(view: DataView, off: number, header: Ipv6): number {
  view.setUint32(off, 0x60000000 + header.trafficClass * 0x100000 + header.flowLabel);
  view.setUint16(off + 4, header.payloadLength);
  view.setUint8(off + 6, header.nextHeader);
  view.setUint8(off + 7, header.hopLimit);
  writeBytes(view, off + 8, header.source, 16);
  writeBytes(view, off + 24, header.destination, 16);
  return 40;
}
