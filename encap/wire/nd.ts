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
 * none of length zero (RFC 4861 section 7.1); else 0. The caller checks hop limit and checksum.
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

/** Offset of the 16 bytes of the target. */
export function targetOffset(off: number): number {
  return off + 8;
}

/** Offset of the MAC in the first option of type `option` of a checked message, -1 when there is none. */
export function macOffset(view: DataView, off: number, length: number, option: number): number {
  let at = off + 24;
  while (at + 8 <= off + length) {
    if (view.getUint8(at) === option) return at + 2;
    at += view.getUint8(at + 1) << 3;
  }
  return -1;
}
