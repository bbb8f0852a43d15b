import { BAD_FLAGS, type Encapsulation, OK, outerBytes, RUNT, WRONG_VNI } from './encap.ts';

/*
 * VXLAN (RFC 7348 section 5): an Ethernet frame behind eight bytes in UDP.
 *
 *   0  flags     1   0x08: the network identifier is valid; every other bit reserved
 *   1  reserved  3
 *   4  VNI       3
 *   7  reserved  1
 *   8  inner Ethernet frame
 *
 * RFC 7348 ignores reserved bits on receipt. Linux drops a packet with a bit that no enabled extension uses, because the
 * frame may have another form (a partial checksum with remote checksum offload, no Ethernet with GPE). So do we.
 */
export const HEADER_BYTES = 8;

/** The I flag alone in the first word. */
const FLAGS_WORD = 0x08000000;

/** Largest network identifier. */
const MAX_VNI = 0xffffff;

/** Port of flannel and of the Linux driver by default, older than the assignment. */
const PORT_LINUX = 8472;

export function vni(view: DataView, off: number): number {
  return view.getUint32(off + 4) >>> 8;
}

/**
 * OK, RUNT, BAD_FLAGS or WRONG_VNI for `length` bytes of UDP payload at `off`: 8 of VXLAN and at least 14 of Ethernet.
 * @hot
 */
export function check(view: DataView, off: number, length: number, network: number): number {
  if (length < 22) return RUNT;
  if (view.getInt32(off) !== FLAGS_WORD || view.getUint8(off + 7) !== 0) return BAD_FLAGS;
  return view.getUint32(off + 4) >>> 8 === network ? OK : WRONG_VNI;
}

/** Writes the header for `network` at `off`. */
export function write(view: DataView, off: number, network: number): void {
  view.setInt32(off, FLAGS_WORD);
  view.setUint32(off + 4, network << 8);
}

/** Flag of remote checksum offload in the second byte, and of UDP in the last one (include/net/vxlan.h of the kernel, VXLAN_HF_RCO). */
const REMOTE_CHECKSUM = 0x20;
const REMOTE_CHECKSUM_UDP = 0x80;

/**
 * Marks the header at `off`: the inner checksum is partial.
 * @param start offset of the inner UDP or TCP header in the frame, even, at most 254
 */
export function markRemoteChecksum(view: DataView, off: number, start: number, isUdp: boolean): void {
  view.setUint8(off + 1, view.getUint8(off + 1) | REMOTE_CHECKSUM);
  view.setUint8(off + 7, (start >> 1) | (isUdp ? REMOTE_CHECKSUM_UDP : 0));
}

/** Removes the mark of `markRemoteChecksum`. @returns false when there is none */
export function clearRemoteChecksum(view: DataView, off: number): boolean {
  if ((view.getUint8(off + 1) & REMOTE_CHECKSUM) === 0) return false;
  view.setUint8(off + 1, view.getUint8(off + 1) & ~REMOTE_CHECKSUM);
  view.setUint8(off + 7, 0);
  return true;
}

/** The eight bytes for `network`. Throws RangeError when it has more than 24 bits. */
function header(network: number): Uint8Array {
  if (!Number.isInteger(network) || network < 0 || network > MAX_VNI)
    throw new RangeError(`VNI ${network} is not within 0..${MAX_VNI}`);
  const bytes = new Uint8Array(8);
  write(new DataView(bytes.buffer), 0, network);
  return bytes;
}

const REMOTE_CHECKSUM_START_MAX = 254;
/** Offsets of the checksum in the headers of UDP and TCP. */
const UDP_CHECKSUM = 6;
const TCP_CHECKSUM = 16;

/**
 * The header of a frame whose checksum the receiver is to complete, undefined when the header cannot say where it is.
 * @param start first byte of the frame that is summed
 * @param offset of the checksum from there
 */
export function remoteChecksumHeader(
  plain: Uint8Array,
  start: number,
  offset: number,
): Uint8Array | undefined {
  if (start % 2 !== 0 || start <= 0 || start > REMOTE_CHECKSUM_START_MAX) return undefined;
  if (offset !== UDP_CHECKSUM && offset !== TCP_CHECKSUM) return undefined;
  const bytes = plain.slice();
  markRemoteChecksum(new DataView(bytes.buffer), 0, start, offset === UDP_CHECKSUM);
  return bytes;
}

export interface VxlanHeader {
  /** First byte. */
  flags: number;
  vni: number;
  /** Bytes 1..3 and 7 as one number; zero in every header that `check` accepts. */
  reserved: number;
}

/** The header as a value whatever its flags say, or undefined when fewer than 8 bytes are there. */
export function parse(view: DataView, off: number, length: number): VxlanHeader | undefined {
  if (length < 8) return undefined;
  const reserved = (view.getUint32(off) & 0xffffff) * 256 + view.getUint8(off + 7);
  return { flags: view.getUint8(off), vni: vni(view, off), reserved };
}

/** `VXLAN, flags [I] (0x08), vni 1`. */
export function format(value: VxlanHeader): string {
  const flags = value.flags.toString(16).padStart(2, '0');
  const reserved = value.reserved ? `, reserved 0x${value.reserved.toString(16).padStart(8, '0')}` : '';
  return `VXLAN, flags [${value.flags & 8 ? 'I' : '.'}] (0x${flags}), vni ${value.vni}${reserved}`;
}

export const vxlan: Encapsulation = Object.freeze({
  name: 'vxlan',
  port: PORT_LINUX,
  inner: 'ethernet',
  headerBytes: 8,
  overhead: underlay => outerBytes(underlay) + 8 + 14,
  header,
  check,
} satisfies Encapsulation);
