import { viewOf } from '../../../encap/wire/addresses.ts';
import * as checksum from '../../../encap/wire/checksum.ts';
import type { Family } from '../../ip/address.ts';

/** RFC 792 and RFC 4443: types of an echo and of its answer. */
const REQUEST: Readonly<Record<Family, number>> = { 4: 8, 6: 128 };
const REPLY: Readonly<Record<Family, number>> = { 4: 0, 6: 129 };
const IP_BYTES: Readonly<Record<Family, number>> = { 4: 20, 6: 40 };
const ETHERNET_BYTES = 14;
const UDP_BYTES = 8;
/** Bytes of an echo with its ICMP header: as ping(8) sends them. */
const MESSAGE_BYTES = 64;

/** An ICMP echo; the kernel fills in the checksum of ICMPv6. */
export function echoMessage(family: Family, id: number, sequence: number): Uint8Array {
  const bytes = new Uint8Array(MESSAGE_BYTES);
  const view = viewOf(bytes);
  view.setUint8(0, REQUEST[family]);
  view.setUint16(4, id);
  view.setUint16(6, sequence);
  if (family === 4) view.setUint16(2, checksum.finish(checksum.sum(view, 0, bytes.length, 0)));
  return bytes;
}

/**
 * The sequence number of an echo of ours.
 * @param at offset of its IP header, which has no options or extension headers
 * @returns undefined for another packet
 */
export function echoSequence(
  bytes: Uint8Array,
  at: number,
  family: Family,
  id: number,
  kind: 'request' | 'reply',
): number | undefined {
  const icmp = at + IP_BYTES[family];
  if (bytes.length < icmp + 8) return undefined;
  const view = viewOf(bytes);
  const type = (kind === 'request' ? REQUEST : REPLY)[family];
  return view.getUint8(icmp) === type && view.getUint16(icmp + 4) === id
    ? view.getUint16(icmp + 6)
    : undefined;
}

/** Offset of the inner IP header in a frame of the underlay. @param encapsulation bytes of headers between UDP and inner IP */
export function innerOffset(outer: Family, encapsulation: number): number {
  return ETHERNET_BYTES + IP_BYTES[outer] + UDP_BYTES + encapsulation;
}

/** Bytes of a frame that hold the inner ICMP header. */
export function bytesToKeep(offset: number, inner: Family): number {
  return offset + IP_BYTES[inner] + 8;
}

/* Opcodes of linux/bpf_common.h. */
const LOAD_HALF = 0x28; // BPF_LD | BPF_H | BPF_ABS
const JUMP_IF_EQUAL = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const RETURN = 0x06; // BPF_RET | BPF_K

/** A classic BPF program that accepts frames with this identifier at the place of an inner ICMP header. */
export function echoFilter(offset: number, inner: Family, id: number): Uint8Array {
  const place = offset + IP_BYTES[inner] + 4;
  const instructions: [code: number, ifTrue: number, ifFalse: number, value: number][] = [
    [LOAD_HALF, 0, 0, place],
    [JUMP_IF_EQUAL, 0, 1, id],
    [RETURN, 0, 0, bytesToKeep(offset, inner)],
    [RETURN, 0, 0, 0],
  ];
  const bytes = new Uint8Array(instructions.length * 8);
  const view = viewOf(bytes);
  for (const [at, [code, ifTrue, ifFalse, value]] of instructions.entries()) {
    // struct sock_filter in the order of the machine: all machines that Node runs on are little-endian.
    view.setUint16(at * 8, code, true);
    view.setUint8(at * 8 + 2, ifTrue);
    view.setUint8(at * 8 + 3, ifFalse);
    view.setUint32(at * 8 + 4, value, true);
  }
  return bytes;
}
