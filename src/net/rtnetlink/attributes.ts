import { malformedMessage } from '../error.ts';

/*
 * Netlink attributes (linux/netlink.h, struct nlattr): u16 length including the 4-byte header, u16 type, value, padding
 * to 4 bytes. Numbers are in host byte order unless the kernel header says big-endian.
 */

/** The byte order of this machine, which netlink uses. */
export const LITTLE_ENDIAN = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;
export const ATTRIBUTE_HEADER = 4;
/** Marks an attribute that holds attributes; newer families require it when the kernel checks strictly. */
export const NLA_F_NESTED = 0x8000;
const TYPE_MASK = 0x3fff;

/** Attributes by type; of several with one type the last one. */
export type Attributes = ReadonlyMap<number, Uint8Array>;

export function align4(length: number): number {
  return (length + 3) & ~3;
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/**
 * Visits the attributes in `bytes` from `offset` in order, repeated types included.
 * @throws NetError EBADMSG when a length leads out of the bytes or is shorter than its header
 */
export function eachAttribute(
  bytes: Uint8Array,
  offset: number,
  visit: (type: number, value: Uint8Array) => void,
): void {
  const data = view(bytes);
  let at = offset;
  while (bytes.length - at >= ATTRIBUTE_HEADER) {
    const length = data.getUint16(at, LITTLE_ENDIAN);
    const type = data.getUint16(at + 2, LITTLE_ENDIAN) & TYPE_MASK;
    if (length < ATTRIBUTE_HEADER || at + length > bytes.length)
      throw malformedMessage(
        `attribute ${type} at byte ${at} claims ${length} bytes of ${bytes.length - at}`,
      );
    visit(type, bytes.subarray(at + ATTRIBUTE_HEADER, at + length));
    at += align4(length);
  }
  if (at < bytes.length) throw malformedMessage(`${bytes.length - at} bytes after the last attribute`);
}

/** The attributes in `bytes` from `offset`. Values are views, not copies. */
export function readAttributes(bytes: Uint8Array, offset = 0): Attributes {
  const found = new Map<number, Uint8Array>();
  eachAttribute(bytes, offset, (type, value) => found.set(type, value));
  return found;
}

/** The nested attributes of `type`, none when it is absent. */
export function readNested(attributes: Attributes, type: number): Attributes {
  const value = attributes.get(type);
  return value ? readAttributes(value) : new Map();
}

function sized(attributes: Attributes, type: number, size: number): DataView | undefined {
  const value = attributes.get(type);
  if (!value) return undefined;
  if (value.length < size)
    throw malformedMessage(`attribute ${type} has ${value.length} bytes, ${size} are needed`);
  return view(value);
}

export function readU8(attributes: Attributes, type: number): number | undefined {
  return sized(attributes, type, 1)?.getUint8(0);
}

export function readU16(attributes: Attributes, type: number): number | undefined {
  return sized(attributes, type, 2)?.getUint16(0, LITTLE_ENDIAN);
}

/** A 16-bit number in network byte order, as ports and VLAN protocols are. */
export function readU16Be(attributes: Attributes, type: number): number | undefined {
  return sized(attributes, type, 2)?.getUint16(0, false);
}

export function readU32(attributes: Attributes, type: number): number | undefined {
  return sized(attributes, type, 4)?.getUint32(0, LITTLE_ENDIAN);
}

/** A text without its terminating zero. */
export function readText(attributes: Attributes, type: number): string | undefined {
  const value = attributes.get(type);
  if (!value) return undefined;
  const end = value.indexOf(0);
  return new TextDecoder().decode(end < 0 ? value : value.subarray(0, end));
}

/** Unsigned number at a fixed place of a message header. @throws NetError EBADMSG when the message is too short */
export function headerU8(bytes: Uint8Array, at: number): number {
  const value = bytes[at];
  if (value === undefined) throw malformedMessage(`message of ${bytes.length} bytes, ${at + 1} are needed`);
  return value;
}

export function headerU16(bytes: Uint8Array, at: number): number {
  if (bytes.length < at + 2) throw malformedMessage(`message of ${bytes.length} bytes, ${at + 2} are needed`);
  return view(bytes).getUint16(at, LITTLE_ENDIAN);
}

export function headerU32(bytes: Uint8Array, at: number): number {
  if (bytes.length < at + 4) throw malformedMessage(`message of ${bytes.length} bytes, ${at + 4} are needed`);
  return view(bytes).getUint32(at, LITTLE_ENDIAN);
}
