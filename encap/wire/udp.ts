/*
 * UDP (RFC 768).
 *
 *   0  source port       2
 *   2  destination port  2
 *   4  length            2   header and payload
 *   6  checksum          2   0: none
 *
 * Accessors are unchecked by contract: call them only after `check` returned a length.
 */
export const BYTES = 8;

/**
 * 8 when the header fits into `length` bytes at `off` and its own length is possible, else 0. Of a first fragment only
 * part is there, so its own length is more than `length` and it is refused: ask only for whole packets.
 */
export function check(view: DataView, off: number, length: number): number {
  if (length < 8) return 0;
  const own = view.getUint16(off + 4);
  return own >= 8 && own <= length ? 8 : 0;
}

export function sourcePort(view: DataView, off: number): number {
  return view.getUint16(off);
}

export function destinationPort(view: DataView, off: number): number {
  return view.getUint16(off + 2);
}

/** Bytes of header and payload. */
export function totalLength(view: DataView, off: number): number {
  return view.getUint16(off + 4);
}

export function setTotalLength(view: DataView, off: number, value: number): void {
  view.setUint16(off + 4, value);
}

export function setChecksum(view: DataView, off: number, value: number): void {
  view.setUint16(off + 6, value);
}

export interface Udp {
  sourcePort: number;
  destinationPort: number;
  /** Bytes of header and payload. */
  totalLength: number;
  checksum: number;
}

/** The header as a value, or undefined when `check` refuses it. */
export function parse(view: DataView, off: number, length: number): Udp | undefined {
  if (check(view, off, length) === 0) return undefined;
  return {
    sourcePort: sourcePort(view, off),
    destinationPort: destinationPort(view, off),
    totalLength: totalLength(view, off),
    checksum: view.getUint16(off + 6),
  };
}

/** Writes the header with the checksum given; returns its bytes. */
export function emit(view: DataView, off: number, header: Udp): number {
  view.setUint16(off, header.sourcePort);
  view.setUint16(off + 2, header.destinationPort);
  view.setUint16(off + 4, header.totalLength);
  view.setUint16(off + 6, header.checksum);
  return 8;
}

/** `UDP, length 32`, where the length is the payload's. */
export function format(header: Udp): string {
  return `UDP, length ${header.totalLength - 8}`;
}
