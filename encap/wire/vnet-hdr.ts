/*
 * virtio-net header in front of a TUN or TAP frame (linux/virtio_net.h), little-endian as TUNSETVNETLE asks; every
 * machine that Node runs on here is little-endian, so native order is the same.
 *
 *   0  flags        1
 *   1  gso type     1
 *   2  header length     2   a hint; recompute it
 *   4  gso size     2   payload bytes a segment
 *   6  checksum start    2   from the start of the frame
 *   8  checksum offset   2   from the checksum start
 *  10  buffers      2   only in headers of 12 bytes and more
 */
export const BYTES = 10;

export const NEEDS_CHECKSUM = 1;
export const DATA_VALID = 2;

export const GSO_NONE = 0;
export const GSO_TCPV4 = 1;
/** Old fragmentation offload, which no kernel here hands out. */
export const GSO_UDP = 3;
export const GSO_TCPV6 = 4;
export const GSO_UDP_L4 = 5;
/** Bit of the gso type: the segments carry CWR once. */
export const GSO_ECN = 0x80;

/** 10 when `length` bytes at `off` hold the header and it is one that a kernel writes, else 0. */
export function check(view: DataView, off: number, length: number): number {
  if (length < 10) return 0;
  const kind = view.getUint8(off + 1) & 0x7f;
  const known = kind === 0 || kind === 1 || kind === 3 || kind === 4 || kind === 5;
  // A superframe without a segment size cannot be cut.
  return known && (kind === 0 || view.getUint16(off + 4, true) > 0) ? 10 : 0;
}

export function flags(view: DataView, off: number): number {
  return view.getUint8(off);
}

export function gsoType(view: DataView, off: number): number {
  return view.getUint8(off + 1);
}

export function headerLength(view: DataView, off: number): number {
  return view.getUint16(off + 2, true);
}

export function gsoSize(view: DataView, off: number): number {
  return view.getUint16(off + 4, true);
}

export function checksumStart(view: DataView, off: number): number {
  return view.getUint16(off + 6, true);
}

export function checksumOffset(view: DataView, off: number): number {
  return view.getUint16(off + 8, true);
}

export interface VnetHeader {
  flags: number;
  gsoType: number;
  headerLength: number;
  gsoSize: number;
  checksumStart: number;
  checksumOffset: number;
}

/** The header as a value, or undefined when `check` refuses it. */
export function parse(view: DataView, off: number, length: number): VnetHeader | undefined {
  if (check(view, off, length) === 0) return undefined;
  return {
    flags: flags(view, off),
    gsoType: gsoType(view, off),
    headerLength: headerLength(view, off),
    gsoSize: gsoSize(view, off),
    checksumStart: checksumStart(view, off),
    checksumOffset: checksumOffset(view, off),
  };
}

/** Writes the header; returns its bytes. */
export function emit(view: DataView, off: number, header: VnetHeader): number {
  view.setUint8(off, header.flags);
  view.setUint8(off + 1, header.gsoType);
  view.setUint16(off + 2, header.headerLength, true);
  view.setUint16(off + 4, header.gsoSize, true);
  view.setUint16(off + 6, header.checksumStart, true);
  view.setUint16(off + 8, header.checksumOffset, true);
  return 10;
}

const GSO_NAMES: Readonly<Record<number, string>> = { 0: 'none', 1: 'tcp4', 3: 'ufo', 4: 'tcp6', 5: 'udp' };

/** `gso tcp4 1398, csum 34+16`. */
export function format(header: VnetHeader): string {
  const ecn = header.gsoType & GSO_ECN ? '+ecn' : '';
  const kind = GSO_NAMES[header.gsoType & 0x7f] ?? `type ${header.gsoType & 0x7f}`;
  const size = header.gsoSize > 0 ? ` ${header.gsoSize}` : '';
  const sum = header.flags & NEEDS_CHECKSUM ? `, csum ${header.checksumStart}+${header.checksumOffset}` : '';
  return `gso ${kind}${ecn}${size}${sum}`;
}
