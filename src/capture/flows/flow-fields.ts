import { viewOf } from '../../../encap/wire/addresses.ts';
import * as ipv4 from '../../../encap/wire/ipv4.ts';
import * as ipv6 from '../../../encap/wire/ipv6.ts';
import * as tcp from '../../../encap/wire/tcp.ts';
import { linkBytes } from '../../../encap/wire/vlan.ts';
import { elementAt } from '../../base/at.ts';
import { type Address, bytesOf } from '../../ip/address.ts';

/** Words of a flow's key: head, ports, source (4), destination (4); addresses in network order, IPv4 in its last word. */
export const KEY_WORDS = 10;
export const EGRESS = 0;
export const INGRESS = 1;

/** Bytes of a UDP header. */
const UDP_BYTES = 8;
const PROTOCOL_SCTP = 132;

/** The fields of a frame that the flow table counts. One object, filled for each frame. */
export class FlowFields {
  readonly key = new Int32Array(KEY_WORDS);
  /** Number of packets of the frame on the wire, and the sum of their IP bytes. */
  packets = 0;
  bytes = 0;
  /** True if the TCP header is complete. The following fields are valid only then. */
  isTcp = false;
  sequence = 0;
  acknowledgement = 0;
  flags = 0;
  /** Payload bytes of the frame, and of one segment of it. */
  payload = 0;
  segment = 0;
  /** Copy of a packet with extension headers, whose chain may reach beyond the captured bytes. */
  readonly #chain = new DataView(new ArrayBuffer(0x10000 + 64));

  /**
   * Reads the headers of a frame, which may be cut by the snap length.
   * @param at offset of the frame in `view`
   * @param captured captured bytes
   * @param length original bytes
   * @param segment payload bytes of one segment of a GSO packet, 0 for a single packet
   * @returns false for a frame that is not an IP packet
   */
  read(
    view: DataView,
    at: number,
    captured: number,
    length: number,
    link: 'ethernet' | 'ip',
    segment: number,
    direction: number,
  ): boolean {
    const l3 = link === 'ethernet' ? linkBytes(view, at, captured) : 0;
    if (link === 'ethernet' && l3 === 0) return false;
    const ip = at + l3;
    const there = captured - l3;
    const whole = length - l3;
    if (there < ipv4.MIN_BYTES) return false;
    const version = view.getUint8(ip) >> 4;
    if (version === 4) return this.#read4(view, ip, there, whole, segment, direction);
    return version === 6 && there >= ipv6.BYTES && this.#read6(view, ip, there, whole, segment, direction);
  }

  #read4(view: DataView, ip: number, there: number, whole: number, segment: number, direction: number) {
    const header = ipv4.headerBytes(view, ip);
    if (header < ipv4.MIN_BYTES || header > there) return false;
    const { key } = this;
    key.fill(0);
    key[5] = view.getInt32(ip + 12);
    key[9] = view.getInt32(ip + 16);
    const total = view.getUint16(ip + 2);
    const bytes = total >= header && total <= whole ? total : whole;
    const hasUpper = (view.getUint16(ip + 6) & 0x1fff) === 0;
    const protocol = view.getUint8(ip + 9);
    key[0] = (direction << 16) | protocol;
    this.#upper(view, ip, header, there, bytes, hasUpper ? protocol : -1, segment);
    return true;
  }

  #read6(view: DataView, ip: number, there: number, whole: number, segment: number, direction: number) {
    const { key } = this;
    for (let word = 0; word < 8; word++) key[2 + word] = view.getInt32(ip + 8 + word * 4);
    const total = ipv6.BYTES + view.getUint16(ip + 4);
    const bytes = total > ipv6.BYTES && total <= whole ? total : whole;
    const upper = ipv6.isExtension(ipv6.nextHeader(view, ip))
      ? this.#walk(view, ip, there)
      : (ipv6.BYTES << 8) | ipv6.nextHeader(view, ip);
    const protocol = upper < 0 ? ipv6.NEXT_NONE : ipv6.upperProtocol(upper);
    const l4 = upper < 0 ? there : ipv6.upperOffset(upper);
    const hasUpper = upper >= 0 && (upper & ipv6.UPPER_LATER_FRAGMENT) === 0;
    key[0] = (direction << 16) | (1 << 8) | protocol;
    key[1] = 0;
    this.#upper(view, ip, l4, there, bytes, hasUpper ? protocol : -1, segment);
    return true;
  }

  /** `ipv6.upperLayer` over the captured bytes, followed by zeros. */
  #walk(view: DataView, ip: number, there: number): number {
    const chain = new Uint8Array(this.#chain.buffer);
    chain.fill(0);
    chain.set(new Uint8Array(view.buffer, view.byteOffset + ip, there));
    return ipv6.upperLayer(this.#chain, 0);
  }

  #upper(
    view: DataView,
    ip: number,
    l4: number,
    there: number,
    bytes: number,
    protocol: number,
    segment: number,
  ): void {
    const isTcp = protocol === ipv4.PROTOCOL_TCP;
    const hasPorts = isTcp || protocol === ipv4.PROTOCOL_UDP || protocol === PROTOCOL_SCTP;
    this.key[1] = hasPorts && l4 + 4 <= there ? tcp.ports(view, ip + l4) : 0;
    const header = isTcp ? tcp.check(view, ip + l4, there - l4) : UDP_BYTES;
    this.isTcp = isTcp && header > 0;
    const payload = Math.max(0, bytes - l4 - header);
    const isCut = segment > 0 && payload > segment;
    this.packets = isCut ? Math.ceil(payload / segment) : 1;
    this.bytes = bytes + (this.packets - 1) * (bytes - payload);
    if (!this.isTcp) return;
    this.payload = payload;
    this.segment = isCut ? segment : Math.max(1, payload);
    this.sequence = tcp.sequence(view, ip + l4) | 0;
    this.acknowledgement = tcp.acknowledgement(view, ip + l4) | 0;
    this.flags = tcp.flags(view, ip + l4);
  }
}

/** Bit of a key's head for a flow that is over, although packets with its key may come again. */
const FORMER = 1 << 9;

/** Changes the key of a flow to one that no packet has any more; `describeKey` reads it as before. */
export function retireKey(key: Int32Array): void {
  key[0] = elementAt(key, 0) | FORMER;
}

/** The words of an address in a key: an IPv4 address is the last one. */
export function addressWords(address: Address): Int32Array {
  const bytes = bytesOf(address);
  const view = viewOf(bytes);
  const words = new Int32Array(4);
  for (let at = 0; at < bytes.length; at += 4) words[4 - bytes.length / 4 + at / 4] = view.getInt32(at);
  return words;
}

/** True if an end of a flow has the address. */
export function hasAddress(key: Int32Array, words: Int32Array): boolean {
  const isAt = (from: number) => words.every((word, at) => key[from + at] === word);
  return isAt(2) || isAt(6);
}

/** Writes the key of the opposite direction of `key` into `to`. */
export function reverseKey(key: Int32Array, to: Int32Array): void {
  const ports = elementAt(key, 1);
  to[0] = elementAt(key, 0) ^ (1 << 16);
  to[1] = (ports << 16) | (ports >>> 16);
  to.set(key.subarray(6, 10), 2);
  to.set(key.subarray(2, 6), 6);
}
