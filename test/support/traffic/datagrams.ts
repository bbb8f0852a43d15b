import { addressBytes as address } from '../../../src/ip/address.ts';
import { macBytes } from '../../../src/ip/mac.ts';

/*
 * Datagrams put together byte by byte, with none of the code that is to judge them: what a header holds is written out
 * here from its RFC. Checksums are the plain loop of RFC 1071.
 */

export function join(...parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** A copy with `values` written at `at`. */
export function put(bytes: Uint8Array, at: number, ...values: number[]): Uint8Array {
  const copy = bytes.slice();
  copy.set(values, at);
  return copy;
}

/** A copy with one bit flipped; bit 0 is the first on the wire. */
export function flip(bytes: Uint8Array, bit: number): Uint8Array {
  return put(bytes, bit >> 3, bytes[bit >> 3]! ^ (0x80 >> (bit & 7)));
}

/** Sum of 16-bit words in one's complement, not inverted. */
export function sum(...parts: readonly Uint8Array[]): number {
  const bytes = join(...parts);
  let total = 0;
  for (let i = 0; i < bytes.length; i += 2) total += (bytes[i]! << 8) | (bytes[i + 1] ?? 0);
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
  return total;
}

const word = (value: number) => [value >> 8, value & 255];
export const isIpv6 = (text: string) => text.includes(':');

/** The pseudo-header of RFC 793 and RFC 8200 section 8.1. */
function pseudo(source: string, destination: string, protocol: number, length: number): Uint8Array {
  const tail = Uint8Array.of(0, protocol, ...word(length));
  return join(address(source), address(destination), tail);
}

/** IPv4 (RFC 791) with DF and TTL 63, or IPv6 (RFC 8200) with hop limit 63. */
export function ip(source: string, destination: string, protocol: number, payload: Uint8Array): Uint8Array {
  if (isIpv6(source)) {
    const head = Uint8Array.of(0x60, 0, 0, 0, ...word(payload.length), protocol, 63);
    return join(head, address(source), address(destination), payload);
  }
  const head = Uint8Array.of(0x45, 0, ...word(20 + payload.length), 0, 0, 0x40, 0, 63, protocol, 0, 0);
  const header = join(head, address(source), address(destination));
  return join(put(header, 10, ...word(~sum(header) & 0xffff)), payload);
}

/** An unsolicited echo reply: the receiving kernel accepts it and does not answer (RFC 792, RFC 4443). */
export function echoReply(source: string, destination: string, bytes = 32): Uint8Array {
  const six = isIpv6(source);
  const message = join(Uint8Array.of(six ? 129 : 0, 0, 0, 0, 0x77, 0x77, 0, 1), new Uint8Array(bytes));
  const seed = six ? [pseudo(source, destination, 58, message.length)] : [];
  return ip(source, destination, six ? 58 : 1, put(message, 2, ...word(~sum(...seed, message) & 0xffff)));
}

export interface TcpWish {
  sequence: number;
  payload: Uint8Array;
  /** `good`, `bad` (off by one), or `unfinished`: the bare pseudo-header sum, as checksum offload leaves it. */
  checksum?: 'good' | 'bad' | 'unfinished';
}

/** A TCP segment (RFC 9293) of one fixed flow, ACK set. */
export function tcp(source: string, destination: string, { sequence, payload, checksum = 'good' }: TcpWish) {
  const head = Uint8Array.of(...word(40000), ...word(50000), 0, 0, ...word(sequence), 0, 0, 0, 1);
  const segment = join(head, Uint8Array.of(0x50, 0x10, 0xff, 0xff, 0, 0, 0, 0), payload);
  const header = pseudo(source, destination, 6, segment.length);
  const good = ~sum(header, segment) & 0xffff;
  const field = checksum === 'unfinished' ? sum(header) : checksum === 'bad' ? (good + 1) & 0xffff : good;
  return ip(source, destination, 6, put(segment, 16, ...word(field)));
}

/** ARP for IPv4 over Ethernet (RFC 826). */
export function arp(operation: number, senderMac: string, sender: string, target: string): Uint8Array {
  const fixed = Uint8Array.of(0, 1, 8, 0, 6, 4, ...word(operation));
  return join(fixed, macBytes(senderMac), address(sender), new Uint8Array(6), address(target));
}

/** An Ethernet frame; `tags` are VLAN identifiers, outermost first. */
export function ethernet(to: string, from: string, type: number, payload: Uint8Array, ...tags: number[]) {
  const tagged = tags.flatMap(tag => [0x81, 0x00, ...word(tag)]);
  return join(macBytes(to), macBytes(from), Uint8Array.of(...tagged, ...word(type)), payload);
}

/** The EtherType of an IP packet, by its version. */
export const etherType = (packet: Uint8Array) => (packet[0]! >> 4 === 6 ? 0x86dd : 0x0800);

/** RFC 7348 section 5. */
export function vxlan(vni: number, frame: Uint8Array): Uint8Array {
  return join(Uint8Array.of(8, 0, 0, 0, vni >> 16, (vni >> 8) & 255, vni & 255, 0), frame);
}
