/*
 * Addresses as bytes and as text. Three forms, all in network order:
 *   MAC   6 bytes
 *   IPv4  4 bytes
 *   IP    16 bytes, an IPv4 address as ::ffff:a.b.c.d (RFC 4291 section 2.5.5.2): the form of tables and descriptions
 * Text of IPv6 is written as RFC 5952 asks. A reader that is handed nonsense returns undefined; it never throws.
 */

/** A view of exactly the bytes of `bytes`, for the accessors of this folder. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

const HEX = '0123456789abcdef';

function hexByte(value: number): string {
  return HEX[value >> 4]! + HEX[value & 15]!;
}

/** `aa:bb:cc:dd:ee:ff` (or with `-`, or one digit a part) to 6 bytes; undefined when it is no MAC address. */
export function parseMac(text: string): Uint8Array | undefined {
  const parts = text.split(text.includes('-') ? '-' : ':');
  if (parts.length !== 6) return undefined;
  const bytes = new Uint8Array(6);
  for (let i = 0; i < 6; i++) {
    const part = parts[i]!;
    if (!/^[0-9a-fA-F]{1,2}$/.test(part)) return undefined;
    bytes[i] = Number.parseInt(part, 16);
  }
  return bytes;
}

/** The MAC address at `off` as `aa:bb:cc:dd:ee:ff`. */
export function formatMac(view: DataView, off: number): string {
  let text = hexByte(view.getUint8(off));
  for (let i = 1; i < 6; i++) text += `:${hexByte(view.getUint8(off + i))}`;
  return text;
}

/** Dotted quad to 4 bytes. Leading zeros are refused: some readers take them for octal. */
export function parseIpv4(text: string): Uint8Array | undefined {
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  const bytes = new Uint8Array(4);
  for (let i = 0; i < 4; i++) {
    const part = parts[i]!;
    if (!/^(0|[1-9][0-9]{0,2})$/.test(part)) return undefined;
    const value = Number(part);
    if (value > 255) return undefined;
    bytes[i] = value;
  }
  return bytes;
}

/** The IPv4 address at `off` as dotted quad. */
export function formatIpv4(view: DataView, off: number): string {
  return `${view.getUint8(off)}.${view.getUint8(off + 1)}.${view.getUint8(off + 2)}.${view.getUint8(off + 3)}`;
}

/** IPv6 text (RFC 4291 section 2.2, all three forms, no zone) to 16 bytes. */
export function parseIpv6(text: string): Uint8Array | undefined {
  if (text.length > 45) return undefined;
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const head = readGroups(halves[0]!, halves.length === 1);
  const tail = halves.length === 2 ? readGroups(halves[1]!, true) : [];
  if (!head || !tail) return undefined;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined;
  const bytes = new Uint8Array(16);
  const view = viewOf(bytes);
  for (const [index, group] of head.entries()) view.setUint16(index * 2, group);
  for (const [index, group] of tail.entries()) view.setUint16((8 - tail.length + index) * 2, group);
  return bytes;
}

/** The groups of one side of `::`; a dotted quad may stand at the end of the text only. */
function readGroups(text: string, mayEndInQuad: boolean): number[] | undefined {
  if (text === '') return [];
  const groups: number[] = [];
  const parts = text.split(':');
  for (const [index, part] of parts.entries()) {
    if (part.includes('.')) {
      const quad = mayEndInQuad && index === parts.length - 1 ? parseIpv4(part) : undefined;
      if (!quad) return undefined;
      groups.push((quad[0]! << 8) | quad[1]!, (quad[2]! << 8) | quad[3]!);
    } else {
      if (!/^[0-9a-fA-F]{1,4}$/.test(part)) return undefined;
      groups.push(Number.parseInt(part, 16));
    }
  }
  return groups.length <= 8 ? groups : undefined;
}

/** The IPv6 address at `off` as RFC 5952 writes it; IPv4-mapped ones end in a dotted quad. */
export function formatIpv6(view: DataView, off: number): string {
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
export function isMapped(view: DataView, off: number): boolean {
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

/** IPv4 or IPv6 text to 16 bytes, IPv4 mapped. */
export function parseIp(text: string): Uint8Array | undefined {
  if (text.includes(':')) return parseIpv6(text);
  const quad = parseIpv4(text);
  return quad && mapIpv4(viewOf(quad), 0);
}

/** The 16 bytes at `off` as text; the mapped form as the IPv4 address that it stands for. */
export function formatIp(view: DataView, off: number): string {
  return isMapped(view, off) ? formatIpv4(view, off + 12) : formatIpv6(view, off);
}

/** Family of a 16-byte address: 4 when it is a mapped IPv4 address, else 6. */
export function familyOf(view: DataView, off: number): 4 | 6 {
  return isMapped(view, off) ? 4 : 6;
}

/** The 16 bytes at `off` as four signed 32-bit values, most significant first: the key form of lookup tables. */
export function words(view: DataView, off: number): [number, number, number, number] {
  return [view.getInt32(off), view.getInt32(off + 4), view.getInt32(off + 8), view.getInt32(off + 12)];
}

/** Writes text `mac` at `off`; throws RangeError when it is no MAC address. */
export function writeMac(view: DataView, off: number, mac: string): void {
  write(view, off, parseMac(mac), mac, 'MAC');
}

/** Writes text `address` as 4 bytes at `off`; throws RangeError when it is no IPv4 address. */
export function writeIpv4(view: DataView, off: number, address: string): void {
  write(view, off, parseIpv4(address), address, 'IPv4');
}

/** Writes text `address` as 16 bytes at `off`; throws RangeError when it is no IPv6 address. */
export function writeIpv6(view: DataView, off: number, address: string): void {
  write(view, off, parseIpv6(address), address, 'IPv6');
}

function write(view: DataView, off: number, bytes: Uint8Array | undefined, text: string, kind: string): void {
  if (!bytes) throw new RangeError(`"${text}" is no ${kind} address`);
  for (let i = 0; i < bytes.length; i++) view.setUint8(off + i, bytes[i]!);
}
