/*
 * ICMP for IPv4 (RFC 792).
 *
 *   0  type      1
 *   1  code      1
 *   2  checksum  2   over the message
 *   4  rest      4   echo: identifier, sequence; fragmentation needed: 0, next-hop MTU (RFC 1191)
 *   8  data, in an error the head of the offending packet
 */
export const BYTES = 8;

export const UNREACHABLE = 3;

/** Codes of UNREACHABLE. */
export const HOST = 1;
export const FRAGMENTATION_NEEDED = 4;

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
  if (length < 8) return undefined;
  return {
    type: view.getUint8(off),
    code: view.getUint8(off + 1),
    checksum: view.getUint16(off + 2),
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

/** What the codes of UNREACHABLE mean, in the words of tcpdump. */
const UNREACHABLE_TEXTS: Readonly<Record<number, string>> = {
  0: 'net destination unreachable',
  [HOST]: 'host destination unreachable',
  2: 'destination protocol unreachable',
  3: 'destination port unreachable',
  13: 'destination unreachable - admin prohibited',
};

/** `ICMP echo request, id 1, seq 2`. */
export function format({ type, code, rest }: Icmp): string {
  const high = rest >>> 16;
  const low = rest & 0xffff;
  switch (type) {
    case 8:
      return `ICMP echo request, id ${high}, seq ${low}`;
    case 0:
      return `ICMP echo reply, id ${high}, seq ${low}`;
    case UNREACHABLE:
      if (code === FRAGMENTATION_NEEDED)
        return `ICMP destination unreachable - need to frag${low ? ` (mtu ${low})` : ''}`;
      return `ICMP ${UNREACHABLE_TEXTS[code] ?? `destination unreachable - code ${code}`}`;
    case 11:
      return code === 1 ? 'ICMP ip reassembly time exceeded' : 'ICMP time exceeded in-transit';
    default:
      return `ICMP type ${type}, code ${code}`;
  }
}
