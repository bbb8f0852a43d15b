/*
 * ICMP for IPv4 (RFC 792).
 *
 *   0  type      1
 *   1  code      1
 *   2  checksum  2   over the message
 *   4  rest      4   echo: identifier, sequence; fragmentation needed: 0, next-hop MTU (RFC 1191)
 *   8  data, in an error the head of the offending packet
 *
 * Accessors are unchecked by contract: call them only after `check` returned a length.
 */
export const BYTES = 8;

export const ECHO_REPLY = 0;
export const UNREACHABLE = 3;
export const REDIRECT = 5;
export const ECHO_REQUEST = 8;
export const TIME_EXCEEDED = 11;
export const PARAMETER_PROBLEM = 12;

/** Codes of UNREACHABLE. */
export const NET = 0;
export const HOST = 1;
export const PROTOCOL = 2;
export const PORT = 3;
export const FRAGMENTATION_NEEDED = 4;
export const ADMINISTRATIVELY_PROHIBITED = 13;

/** 8 when `length` bytes at `off` hold the header, else 0. */
export function check(_view: DataView, _off: number, length: number): number {
  return length >= 8 ? 8 : 0;
}

export function type(view: DataView, off: number): number {
  return view.getUint8(off);
}

export function code(view: DataView, off: number): number {
  return view.getUint8(off + 1);
}

export function checksum(view: DataView, off: number): number {
  return view.getUint16(off + 2);
}

export function identifier(view: DataView, off: number): number {
  return view.getUint16(off + 4);
}

export function sequence(view: DataView, off: number): number {
  return view.getUint16(off + 6);
}

/** True for the types that ask or answer a question; all others, unknown ones included, count as errors. */
export function isQuery(value: number): boolean {
  // Echo, router discovery, timestamp, information, mask (RFC 1122 section 3.2.2); extended echo (RFC 8335).
  return (
    value === 0 ||
    value === 8 ||
    value === 9 ||
    value === 10 ||
    (value >= 13 && value <= 18) ||
    value === 42 ||
    value === 43
  );
}

export function setChecksum(view: DataView, off: number, value: number): void {
  view.setUint16(off + 2, value);
}

export interface Icmp {
  type: number;
  code: number;
  checksum: number;
  /** Bytes 4..7 as one big-endian number: identifier and sequence, or 0 and the next-hop MTU. */
  rest: number;
}

/** The header as a value, or undefined when it is cut short. */
export function parse(view: DataView, off: number, length: number): Icmp | undefined {
  if (check(view, off, length) === 0) return undefined;
  return {
    type: type(view, off),
    code: code(view, off),
    checksum: checksum(view, off),
    rest: view.getUint32(off + 4),
  };
}

/** Writes the header with the checksum given; returns its bytes. */
export function emit(view: DataView, off: number, header: Icmp): number {
  view.setUint8(off, header.type);
  view.setUint8(off + 1, header.code);
  view.setUint16(off + 2, header.checksum);
  view.setUint32(off + 4, header.rest);
  return 8;
}

/** `ICMP echo request, id 1, seq 2`; `quoted` names the destination of the offending packet where it is known. */
export function format(header: Icmp, quoted = 'destination'): string {
  const high = header.rest >>> 16;
  const low = header.rest & 0xffff;
  switch (header.type) {
    case ECHO_REQUEST:
      return `ICMP echo request, id ${high}, seq ${low}`;
    case ECHO_REPLY:
      return `ICMP echo reply, id ${high}, seq ${low}`;
    case UNREACHABLE:
      return `ICMP ${unreachable(header.code, quoted, low)}`;
    case TIME_EXCEEDED:
      return header.code === 1 ? 'ICMP ip reassembly time exceeded' : 'ICMP time exceeded in-transit';
    default:
      return `ICMP type ${header.type}, code ${header.code}`;
  }
}

function unreachable(value: number, quoted: string, mtu: number): string {
  switch (value) {
    case NET:
      return `net ${quoted} unreachable`;
    case HOST:
      return `host ${quoted} unreachable`;
    case PROTOCOL:
      return `${quoted} protocol unreachable`;
    case PORT:
      return `${quoted} port unreachable`;
    case FRAGMENTATION_NEEDED:
      return `${quoted} unreachable - need to frag${mtu ? ` (mtu ${mtu})` : ''}`;
    case ADMINISTRATIVELY_PROHIBITED:
      return `${quoted} unreachable - admin prohibited`;
    default:
      return `${quoted} unreachable - code ${value}`;
  }
}
