import { viewOf } from './wire/addresses.ts';
import {
  emit as emitIpv4,
  MIN_BYTES as IPV4_BYTES,
  isChecksumGood,
  parse as parseIpv4,
} from './wire/ipv4.ts';
import { emit as emitIpv6, BYTES as IPV6_BYTES, parse as parseIpv6 } from './wire/ipv6.ts';

/*
 * Messages by which two nodes prove that trains of UDP_SEGMENT arrive intact. Each is the payload of one inner IP packet
 * from the tunnel address of a node to that of its peer, and travels inside the tunnel like a packet of a pod.
 *
 *   0  magic       8   `Ripstop` and the version, 1
 *   8  kind        1   1 train, 2 alone, 3 question, 4 answer
 *   9  place       1   of this datagram among those of its train, from 0; 0 in a question and in an answer
 *  10  length      2   of the whole message
 *  12  zero        4
 *  16  nonce      16   of the attempt: random, and returned in the answer
 *  32  body            train, alone: a pattern that depends on the place; question: 16 bytes of zeros;
 *                      answer: two sets of 64 bits, the places that arrived intact in the train, and alone
 *
 * A sender sends the same datagrams twice: as a train, which is one UDP_SEGMENT message, and alone, one per message. Then it
 * asks which arrived. An answer is as long as the question, so that a forged question gains an attacker no bytes.
 */

/** IP protocol of the messages: one of the two for experimentation (RFC 3692 section 2.1). */
export const PROTOCOL = 253;
/** The magic as two big-endian words. */
export const MAGIC_HIGH = 0x52697073;
export const MAGIC_LOW = 0x746f7001;
export const HEADER_BYTES = 32;
export const NONCE_BYTES = 16;
/** Most datagrams of a train: bits of a set. */
export const PLACES_MAX = 64;
const SETS_BYTES = 16;
const HOP_LIMIT = 64;

export const KINDS = ['train', 'alone', 'question', 'answer'] as const;

/** A datagram of a train, or the same datagram alone. */
interface Sample {
  readonly kind: 'train' | 'alone';
  readonly place: number;
  /** Of the whole message, more than HEADER_BYTES: the pattern tells the place. */
  readonly length: number;
}

/** The sets have bit n for place n. */
interface Answer {
  readonly kind: 'answer';
  readonly train: bigint;
  readonly alone: bigint;
}

export type ProofMessage = (Sample | { readonly kind: 'question' } | Answer) & {
  /** NONCE_BYTES. */
  readonly nonce: Uint8Array;
};

/** A message with the addresses of its packet, 4 or 16 bytes. */
export interface ProofPacket {
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly message: ProofMessage;
}

/** Bytes of the IP header in front of a message. @param addressBytes 4 or 16 */
export function ipBytes(addressBytes: number): number {
  return addressBytes === 4 ? IPV4_BYTES : IPV6_BYTES;
}

/** The IP packet. @throws RangeError for a place, a length or an address that does not fit */
export function emitPacket({ source, destination, message }: ProofPacket): Uint8Array<ArrayBuffer> {
  const header = ipBytes(source.length);
  const length = lengthOf(message);
  const packet = new Uint8Array(header + length);
  const view = viewOf(packet);
  if (source.length === 4)
    emitIpv4(view, 0, {
      ...{ tos: 0, totalLength: packet.length, identification: 0, dontFragment: true, moreFragments: false },
      ...{ fragmentOffset: 0, ttl: HOP_LIMIT, protocol: PROTOCOL, source, destination },
      options: new Uint8Array(0),
    });
  else
    emitIpv6(view, 0, {
      ...{ trafficClass: 0, flowLabel: 0, payloadLength: length, nextHeader: PROTOCOL, hopLimit: HOP_LIMIT },
      ...{ source, destination },
    });
  emitMessage(packet.subarray(header), message);
  return packet;
}

function lengthOf(message: ProofMessage): number {
  if (message.kind === 'question' || message.kind === 'answer') return HEADER_BYTES + SETS_BYTES;
  const { place, length } = message;
  if (!(place >= 0 && place < PLACES_MAX)) throw new RangeError(`place ${place}; there are ${PLACES_MAX}`);
  if (!(length > HEADER_BYTES && length <= 0xffff)) throw new RangeError(`a message of ${length} bytes`);
  return length;
}

function emitMessage(bytes: Uint8Array, message: ProofMessage): void {
  const view = viewOf(bytes);
  view.setUint32(0, MAGIC_HIGH);
  view.setUint32(4, MAGIC_LOW);
  view.setUint8(8, KINDS.indexOf(message.kind) + 1);
  view.setUint16(10, bytes.length);
  if (message.nonce.length !== NONCE_BYTES) throw new RangeError(`a nonce of ${message.nonce.length} bytes`);
  bytes.set(message.nonce, 16);
  if (message.kind === 'answer') {
    view.setBigUint64(HEADER_BYTES, message.train);
    view.setBigUint64(HEADER_BYTES + 8, message.alone);
  } else if (message.kind !== 'question') {
    view.setUint8(9, message.place);
    bytes.set(patternOf(message.place, bytes.length), HEADER_BYTES);
  }
}

/** Step in the pattern from one place to the next. */
const PLACE_STEP = 97;
let pattern: Uint8Array | undefined;

/** The body of a datagram of a train, for a message of `length` bytes: shifted, exchanged and missing parts all show. */
function patternOf(place: number, length: number): Uint8Array {
  pattern ??= Uint8Array.from(
    { length: 0x10000 + PLACE_STEP * PLACES_MAX },
    (_, at) => at * 31 + (at >> 8) * 7 + 13,
  );
  return pattern.subarray(place * PLACE_STEP + HEADER_BYTES, place * PLACE_STEP + length);
}

/** Reads a whole IP packet; undefined where a single byte is not as `emitPacket` writes it. */
export function parsePacket(bytes: Uint8Array): ProofPacket | undefined {
  const view = viewOf(bytes);
  const version = bytes.length > 0 ? view.getUint8(0) >> 4 : 0;
  const header = ipBytes(version === 4 ? 4 : 16);
  const ip = version === 4 ? readIpv4(view) : readIpv6(view);
  if (!ip || ip.end !== bytes.length || ip.protocol !== PROTOCOL) return undefined;
  const message = parseMessage(bytes.subarray(header));
  return message && { source: ip.source, destination: ip.destination, message };
}

function readIpv4(view: DataView) {
  const ip = parseIpv4(view, 0, view.byteLength);
  if (!ip || ip.options.length > 0 || ip.moreFragments || ip.fragmentOffset > 0) return undefined;
  if (!isChecksumGood(view, 0)) return undefined;
  return { ...ip, end: ip.totalLength };
}

function readIpv6(view: DataView) {
  const ip = parseIpv6(view, 0, view.byteLength);
  return ip && { ...ip, protocol: ip.nextHeader, end: IPV6_BYTES + ip.payloadLength };
}

function parseMessage(bytes: Uint8Array): ProofMessage | undefined {
  if (bytes.length < HEADER_BYTES) return undefined;
  const view = viewOf(bytes);
  if (view.getUint32(0) !== MAGIC_HIGH || view.getUint32(4) !== MAGIC_LOW) return undefined;
  if (view.getUint16(10) !== bytes.length || view.getUint32(12) !== 0) return undefined;
  const kind = KINDS[view.getUint8(8) - 1];
  const place = view.getUint8(9);
  const nonce = bytes.slice(16, 16 + NONCE_BYTES);
  if (kind === 'train' || kind === 'alone') {
    if (place >= PLACES_MAX || bytes.length === HEADER_BYTES) return undefined;
    const body = patternOf(place, bytes.length);
    for (let at = 0; at < body.length; at++) if (bytes[HEADER_BYTES + at] !== body[at]) return undefined;
    return { kind, nonce, place, length: bytes.length };
  }
  if (kind === undefined || place !== 0 || bytes.length !== HEADER_BYTES + SETS_BYTES) return undefined;
  const train = view.getBigUint64(HEADER_BYTES);
  const alone = view.getBigUint64(HEADER_BYTES + 8);
  if (kind === 'answer') return { kind, nonce, train, alone };
  return train === 0n && alone === 0n ? { kind, nonce } : undefined;
}
