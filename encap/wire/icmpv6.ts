import type { Icmp } from './icmp.ts';

/*
 * ICMPv6 (RFC 4443). The header has the fields of ICMP (icmp.ts) with other values; the checksum covers a pseudo header
 * too. Types below 128 are errors. The rest, bytes 4 to 7, is identifier and sequence in an echo, the MTU in packet too
 * big, flags in a neighbour advertisement. Neighbour discovery: nd.ts.
 */
export { BYTES, emit, parse } from './icmp.ts';

export const UNREACHABLE = 1;
export const PACKET_TOO_BIG = 2;
export const NEIGHBOUR_SOLICITATION = 135;
export const REDIRECT = 137;

/** Code of UNREACHABLE. */
export const ADDRESS = 3;

/** True for an error message. */
export function isError(value: number): boolean {
  return value < 128;
}

/** What the codes of UNREACHABLE mean, in the words of tcpdump. */
const UNREACHABLE_TEXTS: Readonly<Record<number, string>> = {
  0: 'unreachable route destination',
  1: 'unreachable prohibited destination',
  [ADDRESS]: 'unreachable address destination',
  4: 'unreachable port, destination',
};

const TYPE_TEXTS: Readonly<Record<number, string>> = {
  133: 'router solicitation',
  134: 'router advertisement',
  [NEIGHBOUR_SOLICITATION]: 'neighbor solicitation',
  136: 'neighbor advertisement',
  [REDIRECT]: 'redirect',
};

/** `ICMP6, echo request, id 1, seq 2`. */
export function format({ type, code, rest }: Icmp): string {
  switch (type) {
    case 128:
    case 129:
      return `ICMP6, echo ${type === 128 ? 'request' : 'reply'}, id ${rest >>> 16}, seq ${rest & 0xffff}`;
    case UNREACHABLE:
      return `ICMP6, destination unreachable, ${UNREACHABLE_TEXTS[code] ?? `code ${code}`}`;
    case PACKET_TOO_BIG:
      return `ICMP6, packet too big, mtu ${rest}`;
    case 3:
      return `ICMP6, time exceeded ${code === 1 ? '(reassembly)' : 'in-transit'}`;
    default:
      return `ICMP6, ${TYPE_TEXTS[type] ?? `type ${type}, code ${code}`}`;
  }
}
