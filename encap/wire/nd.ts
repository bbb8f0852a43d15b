import { addressText, copyBytes, writeBytes } from './addresses.ts';

/*
 * Neighbour solicitation and advertisement (RFC 4861 sections 4.3 and 4.4).
 *
 *   0  type      1   135 solicitation, 136 advertisement
 *   1  code      1   0
 *   2  checksum  2
 *   4  advertisement: router, solicited, override flags in the top three bits
 *   8  target   16
 *  24  options: type 1, length in 8-byte units 1, ...; 1 source and 2 target link-layer address
 *
 * Accessors are unchecked by contract: call them only after `check` returned a length.
 */
export const MIN_BYTES = 24;
/** A message with one link-layer address option. */
export const BYTES_WITH_MAC = 32;

export const SOLICITATION = 135;
export const ADVERTISEMENT = 136;

export const OPTION_SOURCE_MAC = 1;
export const OPTION_TARGET_MAC = 2;

export const ROUTER = 0x80000000;
export const SOLICITED = 0x40000000;
export const OVERRIDE = 0x20000000;

/**
 * `length` when the message at `off` is a solicitation or advertisement of code 0 whose options fill it exactly,
 * none of length zero (RFC 4861 section 7.1); else 0. Hop limit and checksum are the caller's to judge.
 */
export function check(view: DataView, off: number, length: number): number {
  if (length < 24) return 0;
  const kind = view.getUint16(off);
  if (kind !== 135 << 8 && kind !== 136 << 8) return 0;
  let at = 24;
  while (at + 2 <= length) {
    const bytes = view.getUint8(off + at + 1) << 3;
    if (bytes === 0) return 0;
    at += bytes;
  }
  return at === length ? length : 0;
}

export function type(view: DataView, off: number): number {
  return view.getUint8(off);
}

/** Flags of an advertisement: ROUTER, SOLICITED, OVERRIDE. */
export function flags(view: DataView, off: number): number {
  return view.getUint32(off + 4);
}

/** Where the 16 bytes of the target stand. */
export function targetOffset(off: number): number {
  return off + 8;
}

/** Where the MAC of the first option of type `option` stands in a checked message, -1 when there is none. */
export function macOffset(view: DataView, off: number, length: number, option: number): number {
  let at = off + 24;
  while (at + 8 <= off + length) {
    if (view.getUint8(at) === option) return at + 2;
    at += view.getUint8(at + 1) << 3;
  }
  return -1;
}

export interface NeighbourMessage {
  type: typeof SOLICITATION | typeof ADVERTISEMENT;
  checksum: number;
  /** ROUTER, SOLICITED, OVERRIDE of an advertisement, 0 in a solicitation. */
  flags: number;
  /** 16 bytes. */
  target: Uint8Array;
  /** The link-layer address option that belongs to the type: source in a solicitation, target in an advertisement. */
  mac: Uint8Array | undefined;
}

/** The message as a value, or undefined when `check` refuses it. Other options are not kept. */
export function parse(view: DataView, off: number, length: number): NeighbourMessage | undefined {
  if (check(view, off, length) === 0) return undefined;
  const kind = type(view, off) === SOLICITATION ? SOLICITATION : ADVERTISEMENT;
  const at = macOffset(view, off, length, kind === SOLICITATION ? OPTION_SOURCE_MAC : OPTION_TARGET_MAC);
  return {
    type: kind,
    checksum: view.getUint16(off + 2),
    flags: flags(view, off),
    target: copyBytes(view, off + 8, 16),
    mac: at < 0 ? undefined : copyBytes(view, at, 6),
  };
}

/** Writes the message with the checksum given; returns its bytes. Throws RangeError on an address of a wrong length. */
export function emit(view: DataView, off: number, message: NeighbourMessage): number {
  view.setUint16(off, message.type << 8);
  view.setUint16(off + 2, message.checksum);
  view.setUint32(off + 4, message.flags);
  writeBytes(view, off + 8, message.target, 16);
  if (message.mac === undefined) return 24;
  view.setUint8(off + 24, message.type === SOLICITATION ? OPTION_SOURCE_MAC : OPTION_TARGET_MAC);
  view.setUint8(off + 25, 1);
  writeBytes(view, off + 26, message.mac, 6);
  return 32;
}

/** `ICMP6, neighbor solicitation, who has fd00::2`. */
export function format(message: NeighbourMessage): string {
  if (message.type === SOLICITATION)
    return `ICMP6, neighbor solicitation, who has ${addressText(message.target)}`;
  const names = [];
  if (message.flags & ROUTER) names.push('router');
  if (message.flags & SOLICITED) names.push('solicited');
  if (message.flags & OVERRIDE) names.push('override');
  const suffix = names.length > 0 ? `, Flags [${names.join(', ')}]` : '';
  return `ICMP6, neighbor advertisement, tgt is ${addressText(message.target)}${suffix}`;
}
