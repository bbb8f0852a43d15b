/*
 * Addresses as bytes, and their text. Three forms, all in network order:
 *   MAC   6 bytes
 *   IPv4  4 bytes
 *   IP    16 bytes, an IPv4 address as ::ffff:a.b.c.d (RFC 4291 section 2.5.5.2): the form of tables and descriptions
 * Text of IPv6 is written as RFC 5952 asks. Text is read in src/ip.
 */

/** A view of exactly the bytes of `bytes`, for the accessors of this folder. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** `00` to `ff` */
const HEX: readonly string[] = Array.from({ length: 256 }, (_, value) => value.toString(16).padStart(2, '0'));

const hexByte = (value: number): string => HEX[value] ?? '';

/** The MAC address at `off` as `aa:bb:cc:dd:ee:ff`. */
function formatMac(view: DataView, off: number): string {
  let text = hexByte(view.getUint8(off));
  for (let i = 1; i < 6; i++) text += `:${hexByte(view.getUint8(off + i))}`;
  return text;
}

/** The IPv4 address at `off` as dotted quad. */
function formatIpv4(view: DataView, off: number): string {
  return `${view.getUint8(off)}.${view.getUint8(off + 1)}.${view.getUint8(off + 2)}.${view.getUint8(off + 3)}`;
}

/** The IPv6 address at `off` as RFC 5952 writes it; IPv4-mapped ones end in a dotted quad. */
function formatIpv6(view: DataView, off: number): string {
  if (isMapped(view, off)) return `::ffff:${formatIpv4(view, off + 12)}`;
  let longest = 1;
  let longestAt = -1;
  for (let i = 0; i < 8; i++) {
    let run = 0;
    while (i + run < 8 && view.getUint16(off + (i + run) * 2) === 0) run++;
    if (run > longest) {
      longest = run;
      longestAt = i;
    }
    if (run > 0) i += run - 1;
  }
  let text = '';
  for (let i = 0; i < 8; i++) {
    if (i === longestAt) {
      text += '::';
      i += longest - 1;
      continue;
    }
    if (text !== '' && !text.endsWith(':')) text += ':';
    text += view.getUint16(off + i * 2).toString(16);
  }
  return text;
}

/** True when the 16 bytes at `off` hold an IPv4 address as ::ffff:a.b.c.d. */
function isMapped(view: DataView, off: number): boolean {
  return view.getUint32(off) === 0 && view.getUint32(off + 4) === 0 && view.getUint32(off + 8) === 0xffff;
}

/** 4 bytes of an IPv4 address at `off` as the 16 bytes of the mapped form. */
export function mapIpv4(view: DataView, off: number): Uint8Array {
  const bytes = new Uint8Array(16);
  bytes[10] = 0xff;
  bytes[11] = 0xff;
  for (let i = 0; i < 4; i++) bytes[12 + i] = view.getUint8(off + i);
  return bytes;
}

/** The 16 bytes at `off` as text; a mapped address as the IPv4 address. */
export function formatIp(view: DataView, off: number): string {
  return isMapped(view, off) ? formatIpv4(view, off + 12) : formatIpv6(view, off);
}

/** The text of the 4 or 16 bytes of an address. @throws RangeError for any other number of them */
export function addressText(bytes: Uint8Array): string {
  if (bytes.length === 4) return formatIpv4(viewOf(bytes), 0);
  if (bytes.length === 16) return formatIpv6(viewOf(bytes), 0);
  throw new RangeError(`an IP address of ${bytes.length} bytes`);
}

/** The text of the 6 bytes of a MAC address. @throws RangeError for any other number of them */
export function macText(bytes: Uint8Array): string {
  if (bytes.length !== 6) throw new RangeError(`a MAC address of ${bytes.length} bytes`);
  return formatMac(viewOf(bytes), 0);
}

/** A copy of the `length` bytes at `off`. */
export function copyBytes(view: DataView, off: number, length: number): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset + off, length).slice();
}

/** Writes an address of `length` bytes at `off`. @throws RangeError when it has another number of them */
export function writeBytes(view: DataView, off: number, bytes: Uint8Array, length: number): void {
  if (bytes.length !== length)
    throw new RangeError(`an address of ${bytes.length} bytes in place of ${length}`);
  new Uint8Array(view.buffer, view.byteOffset + off, length).set(bytes);
}
