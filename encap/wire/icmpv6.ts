/*
 * ICMPv6 (RFC 4443).
 *
 *   0  type      1   below 128: errors
 *   1  code      1
 *   2  checksum  2   over pseudo header and message
 *   4  rest      4   echo: identifier, sequence; packet too big: MTU; neighbour advertisement: flags
 *   8  data, in an error the head of the offending packet
 *
 * Accessors are unchecked by contract: call them only after `check` returned a length. Neighbour discovery: nd.ts.
 */
export const BYTES = 8;

export const UNREACHABLE = 1;
export const PACKET_TOO_BIG = 2;
export const TIME_EXCEEDED = 3;
export const PARAMETER_PROBLEM = 4;
export const ECHO_REQUEST = 128;
export const ECHO_REPLY = 129;
export const ROUTER_SOLICITATION = 133;
export const ROUTER_ADVERTISEMENT = 134;
export const NEIGHBOUR_SOLICITATION = 135;
export const NEIGHBOUR_ADVERTISEMENT = 136;
export const REDIRECT = 137;

/** Codes of UNREACHABLE. */
export const NO_ROUTE = 0;
export const PROHIBITED = 1;
export const ADDRESS = 3;
export const PORT = 4;

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

/** MTU of packet too big. */
export function mtu(view: DataView, off: number): number {
  return view.getUint32(off + 4);
}

/** True for an error message. */
export function isError(value: number): boolean {
  return value < 128;
}

export function setChecksum(view: DataView, off: number, value: number): void {
  view.setUint16(off + 2, value);
}

export interface Icmpv6 {
  type: number;
  code: number;
  checksum: number;
  /** Bytes 4..7 as one big-endian number: identifier and sequence, MTU, or flags. */
  rest: number;
}

/** The header as a value, or undefined when it is cut short. */
export function parse(view: DataView, off: number, length: number): Icmpv6 | undefined {
  if (check(view, off, length) === 0) return undefined;
  return {
    type: type(view, off),
    code: code(view, off),
    checksum: checksum(view, off),
    rest: view.getUint32(off + 4),
  };
}

/** Writes the header with the checksum given; returns its bytes. */
export function emit(view: DataView, off: number, header: Icmpv6): number {
  view.setUint8(off, header.type);
  view.setUint8(off + 1, header.code);
  view.setUint16(off + 2, header.checksum);
  view.setUint32(off + 4, header.rest);
  return 8;
}

/** `ICMP6, echo request, id 1, seq 2`; `quoted` names the destination of the offending packet where it is known. */
export function format(header: Icmpv6, quoted = 'destination'): string {
  const high = header.rest >>> 16;
  const low = header.rest & 0xffff;
  switch (header.type) {
    case ECHO_REQUEST:
      return `ICMP6, echo request, id ${high}, seq ${low}`;
    case ECHO_REPLY:
      return `ICMP6, echo reply, id ${high}, seq ${low}`;
    case UNREACHABLE:
      return `ICMP6, destination unreachable, ${unreachable(header.code, quoted)}`;
    case PACKET_TOO_BIG:
      return `ICMP6, packet too big, mtu ${header.rest}`;
    case TIME_EXCEEDED:
      return header.code === 1 ? 'ICMP6, time exceeded (reassembly)' : 'ICMP6, time exceeded in-transit';
    case ROUTER_SOLICITATION:
      return 'ICMP6, router solicitation';
    case ROUTER_ADVERTISEMENT:
      return 'ICMP6, router advertisement';
    case NEIGHBOUR_SOLICITATION:
      return 'ICMP6, neighbor solicitation';
    case NEIGHBOUR_ADVERTISEMENT:
      return 'ICMP6, neighbor advertisement';
    case REDIRECT:
      return 'ICMP6, redirect';
    default:
      return `ICMP6, type ${header.type}, code ${header.code}`;
  }
}

function unreachable(value: number, quoted: string): string {
  switch (value) {
    case NO_ROUTE:
      return `unreachable route ${quoted}`;
    case PROHIBITED:
      return `unreachable prohibited ${quoted}`;
    case ADDRESS:
      return `unreachable address ${quoted}`;
    case PORT:
      return `unreachable port, ${quoted}`;
    default:
      return `code ${value}`;
  }
}
