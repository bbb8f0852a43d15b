import type { ErrorCode } from '../../base/errors.ts';
import { malformedMessage } from '../error.ts';
import { ATTRIBUTE_HEADER, align4, headerU16, headerU32, LITTLE_ENDIAN, NLA_F_NESTED } from './attributes.ts';

/*
 * Netlink messages (linux/netlink.h, struct nlmsghdr): u32 length, u16 type, u16 flags, u32 sequence, u32 port, then a
 * fixed header of the family and attributes.
 */

export const MESSAGE_HEADER = 16;
export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;
const NLM_F_REQUEST = 0x1;
export const NLM_F_ACK = 0x4;
export const NLM_F_DUMP_INTR = 0x10;
export const NLM_F_CAPPED = 0x100;
export const NLM_F_ACK_TLVS = 0x200;
export const NLM_F_REPLACE = 0x100;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;
export const NLM_F_APPEND = 0x800;
export const NLM_F_DUMP = 0x300;

/** One message as it came; `payload` starts after the netlink header. */
export interface Message {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly payload: Uint8Array;
}

/**
 * Cuts a datagram into its messages.
 * @throws NetError EBADMSG when a length leads out of the datagram
 */
export function splitMessages(datagram: Uint8Array): Message[] {
  const messages: Message[] = [];
  let at = 0;
  while (datagram.length - at >= MESSAGE_HEADER) {
    const length = headerU32(datagram, at);
    if (length < MESSAGE_HEADER || at + length > datagram.length)
      throw malformedMessage(`message at byte ${at} claims ${length} bytes of ${datagram.length - at}`);
    messages.push({
      type: headerU16(datagram, at + 4),
      flags: headerU16(datagram, at + 6),
      sequence: headerU32(datagram, at + 8),
      payload: datagram.subarray(at + MESSAGE_HEADER, at + length),
    });
    at += align4(length);
  }
  if (at < datagram.length) throw malformedMessage(`${datagram.length - at} bytes after the last message`);
  return messages;
}

/**
 * A request to a subsystem of netfilter, with struct nfgenmsg (linux/netfilter/nfnetlink.h): u8 family, u8 version, u16
 * resource.
 * @param type subsystem in the upper byte, message in the lower one
 */
export function netfilterRequest(type: number, family: number, what: string): MessageWriter {
  return new MessageWriter(type, 0, what).u8(family).u8(0).u16(0);
}

/** Writes one request: `new MessageWriter(type, flags, what)`, the fixed header, attributes, then `finish`. */
export class MessageWriter {
  /** The request in words, for the error when the kernel refuses it. */
  readonly what: string;
  /** Refusals of a request to delete that mean that nothing is there. */
  readonly absent: readonly ErrorCode[];
  #bytes = new Uint8Array(256);
  #length = MESSAGE_HEADER;

  constructor(type: number, flags: number, what: string, absent: readonly ErrorCode[] = []) {
    this.what = what;
    this.absent = absent;
    const data = this.#view();
    data.setUint16(4, type, LITTLE_ENDIAN);
    data.setUint16(6, flags | NLM_F_REQUEST, LITTLE_ENDIAN);
  }

  u8(value: number): this {
    const at = this.#grow(1);
    this.#bytes[at] = value;
    return this;
  }

  u16(value: number): this {
    const at = this.#grow(2);
    this.#view().setUint16(at, value, LITTLE_ENDIAN);
    return this;
  }

  u32(value: number): this {
    const at = this.#grow(4);
    this.#view().setUint32(at, value, LITTLE_ENDIAN);
    return this;
  }

  bytes(value: Uint8Array): this {
    const at = this.#grow(value.length);
    this.#bytes.set(value, at);
    return this;
  }

  /** An attribute with these bytes; an empty value makes a flag attribute. */
  attribute(type: number, value: Uint8Array): this {
    this.u16(ATTRIBUTE_HEADER + value.length)
      .u16(type)
      .bytes(value);
    this.#grow(align4(value.length) - value.length);
    return this;
  }

  attributeU8(type: number, value: number): this {
    return this.attribute(type, Uint8Array.of(value));
  }

  attributeU16(type: number, value: number): this {
    const bytes = new Uint8Array(2);
    new DataView(bytes.buffer).setUint16(0, value, LITTLE_ENDIAN);
    return this.attribute(type, bytes);
  }

  attributeU16Be(type: number, value: number): this {
    return this.attribute(type, Uint8Array.of(value >> 8, value & 0xff));
  }

  attributeU32(type: number, value: number): this {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setUint32(0, value, LITTLE_ENDIAN);
    return this.attribute(type, bytes);
  }

  /** A zero-terminated text. */
  attributeText(type: number, value: string): this {
    const text = new TextEncoder().encode(value);
    const bytes = new Uint8Array(text.length + 1);
    bytes.set(text);
    return this.attribute(type, bytes);
  }

  /** An attribute that holds what `fill` writes. */
  nested(type: number, fill: (writer: this) => void): this {
    const start = this.#length;
    this.u16(0).u16(type | NLA_F_NESTED);
    fill(this);
    return this.patchLength(start);
  }

  /** Bytes written so far, netlink header included. */
  get length(): number {
    return this.#length;
  }

  /** Sets the u16 at `start` to the bytes written since: attributes and next-hop records begin with their length. */
  patchLength(start: number): this {
    this.#view().setUint16(start, this.#length - start, LITTLE_ENDIAN);
    return this;
  }

  /** The message, ready to send. `flags` are added to those of the constructor. */
  finish(sequence: number, flags = 0): Uint8Array {
    const data = this.#view();
    data.setUint32(0, this.#length, LITTLE_ENDIAN);
    data.setUint16(6, data.getUint16(6, LITTLE_ENDIAN) | flags, LITTLE_ENDIAN);
    data.setUint32(8, sequence, LITTLE_ENDIAN);
    return this.#bytes.subarray(0, this.#length);
  }

  #view(): DataView {
    return new DataView(this.#bytes.buffer);
  }

  #grow(count: number): number {
    const at = this.#length;
    this.#length += count;
    if (this.#length > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length));
      larger.set(this.#bytes);
      this.#bytes = larger;
    }
    return at;
  }
}
