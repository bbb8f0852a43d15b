/*
 * The Internet checksum (RFC 1071): the one's complement of the one's complement sum of 16-bit words.
 * For headers, answers and tests. Payload on the hot path is summed in native code.
 */

/**
 * Adds `length` bytes at `off` to the running sum `seed`, an odd last byte padded with zero.
 * Only the last range of a chain may be odd. Exact for up to 128 KiB in one call.
 * @returns the sum folded to 16 bits, not inverted
 */
export function sum(view: DataView, off: number, length: number, seed: number): number {
  let total = seed;
  const even = off + (length & ~1);
  for (let at = off; at < even; at += 2) total += view.getUint16(at);
  if (length & 1) total += view.getUint8(even) << 8;
  return fold(total);
}

/** Carries of an unsigned sum below 2^48 added back until it fits 16 bits. */
function fold(total: number): number {
  let rest = total;
  while (rest > 0xffff) rest = (rest % 0x10000) + Math.floor(rest / 0x10000);
  return rest;
}

/** The value of a checksum field for the folded sum `folded`. */
export function finish(folded: number): number {
  return ~folded & 0xffff;
}

/** As `finish`, for UDP: zero on the wire means "no checksum", so zero is sent as 0xffff (RFC 768). */
export function finishUdp(folded: number): number {
  return ~folded & 0xffff || 0xffff;
}

/** Sum of the pseudo header of the IPv4 packet at `ip`; `length` is that of the transport header and payload. */
export function pseudo4(view: DataView, ip: number, protocol: number, length: number): number {
  return sum(view, ip + 12, 8, protocol + length);
}

/** Sum of the pseudo header (RFC 8200 section 8.1) of the IPv6 packet at `ip`, without a routing header. */
export function pseudo6(view: DataView, ip: number, protocol: number, length: number): number {
  return sum(view, ip + 8, 32, protocol + (length >>> 16) + (length & 0xffff));
}

/** True when `length` bytes at `off`, their own checksum field included, sum to all ones on top of `seed`. */
export function verify(view: DataView, off: number, length: number, seed: number): boolean {
  return sum(view, off, length, seed) === 0xffff;
}
