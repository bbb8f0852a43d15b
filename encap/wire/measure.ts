/*
 * The header of a measured packet: the first bytes of the UDP payload of what `ripstop blast` sends. With IPv4 it just fits into
 * the smallest Ethernet frame (64 bytes with its check sequence).
 *
 *   0  magic    2   0x5273
 *   2  version  4 bits: 1
 *      flags    4 bits: 1 the sink answers, 2 this is the answer, 4 a probe, which the sink does not count
 *   3  flow     1   number of the flow within its stream
 *   4  stream   1   number of the stream at its sink
 *   5  nonce    3   drawn by the sink; without it the sink takes no notice of a packet
 *   8  sequence 4   by flow, from 0
 *  12  time     6   when it was sent, nanoseconds since the origin of the sender's clock
 *
 * An answer repeats the header of its packet and adds, in nanoseconds since the origin of the sink's clock:
 *
 *  18  received 6   when the packet arrived
 *  24  answered 6   when the answer was sent
 *
 * All numbers are big-endian. An origin is a whole second of the wall clock; sender and sink tell each other theirs over TCP.
 * Accessors are unchecked by contract: call them only after `check` returned a length.
 */
export const BYTES = 18;
export const ANSWER_BYTES = 30;

export const MAGIC = 0x5273;
export const VERSION = 1;
export const FLAG_ASK = 1;
export const FLAG_ANSWER = 2;
export const FLAG_PROBE = 4;

/** Nanoseconds after which times begin again at 0: 78 hours. */
export const TIME_PERIOD = 2 ** 48;
export const FLOWS_MAX = 256;
export const SEQUENCE_MAX = 2 ** 32 - 1;

/** 18 when `length` bytes at `off` begin with a header of this version, 30 for a whole answer, else 0. @hot */
export function check(view: DataView, off: number, length: number): number {
  if (length < 18 || view.getUint16(off) !== 0x5273) return 0;
  const kind = view.getUint8(off + 2);
  if (kind >> 4 !== 1) return 0;
  if ((kind & 2) === 0) return 18;
  return length < 30 ? 0 : 30;
}

/** @hot */
export function flags(view: DataView, off: number): number {
  return view.getUint8(off + 2) & 15;
}

/** @hot */
export function flow(view: DataView, off: number): number {
  return view.getUint8(off + 3);
}

/** Stream and nonce as one number: what tells the packets of a stream from all others. @hot */
export function streamKey(view: DataView, off: number): number {
  return view.getUint32(off + 4);
}

/** The number that `streamKey` reads. */
export function keyOf(stream: number, nonce: number): number {
  return stream * 2 ** 24 + nonce;
}

/** @hot */
export function sequence(view: DataView, off: number): number {
  return view.getUint32(off + 8);
}

/** @hot */
export function time(view: DataView, off: number): number {
  return view.getUint16(off + 12) * 4294967296 + view.getUint32(off + 14);
}

export function receivedTime(view: DataView, off: number): number {
  return view.getUint16(off + 18) * 4294967296 + view.getUint32(off + 20);
}

export function answeredTime(view: DataView, off: number): number {
  return view.getUint16(off + 24) * 4294967296 + view.getUint32(off + 26);
}

/** Writes what all packets of a stream have in common. */
export function emit(view: DataView, off: number, key: number): void {
  view.setUint16(off, MAGIC);
  view.setUint8(off + 2, VERSION << 4);
  view.setUint8(off + 3, 0);
  view.setUint32(off + 4, key);
}

/** Writes what differs from packet to packet. @param nanoseconds an integer from 0 @hot */
export function stamp(
  view: DataView,
  off: number,
  flag: number,
  flowNumber: number,
  number: number,
  nanoseconds: number,
): void {
  view.setUint8(off + 2, 16 | flag);
  view.setUint8(off + 3, flowNumber);
  view.setUint32(off + 8, number);
  setTime(view, off + 12, nanoseconds);
}

/** Makes the header at `off` that of an answer. @hot */
export function answer(view: DataView, off: number, received: number, answered: number): void {
  view.setUint8(off + 2, (view.getUint8(off + 2) & 0xfc) | 2);
  setTime(view, off + 18, received);
  setTime(view, off + 24, answered);
}

/** Six bytes of a time. @hot */
function setTime(view: DataView, off: number, nanoseconds: number): void {
  const high = Math.floor(nanoseconds / 4294967296);
  view.setUint16(off, high);
  view.setUint32(off + 2, nanoseconds - high * 4294967296);
}

/** Difference of two times that may lie on both sides of the start of a period. @hot */
export function elapsed(from: number, to: number): number {
  const difference = to - from;
  if (difference > 140737488355328) return difference - 281474976710656;
  return difference < -140737488355328 ? difference + 281474976710656 : difference;
}

/** A time as the header holds it. @hot */
export function wrapped(nanoseconds: number): number {
  return nanoseconds - Math.floor(nanoseconds / 281474976710656) * 281474976710656;
}
