import { buildOuter, type Outer } from '../../../encap/outer-header.ts';
import { remoteChecksumHeader } from '../../../encap/vxlan.ts';
import { formatIp, viewOf } from '../../../encap/wire/addresses.ts';
import { NEEDS_CHECKSUM } from '../../../encap/wire/vnet-hdr.ts';
import { addressBytes } from '../../ip/address.ts';
import { type CaptureContext, encapsulationOf, ownAddress } from '../live/context.ts';
import type { CaptureRecord, GsoFields } from '../live/record.ts';
import type { Slice } from './segments.ts';

/** The outer Ethernet header is unknown and written as zeros, as in a capture of `lo`. */
const NO_MAC = new Uint8Array(6);
const NO_LINK = { source: NO_MAC, destination: NO_MAC };
/** Maximum UDP payload of one outer packet, over either address family. */
const PAYLOAD_MAX = 65535 - 48;

/**
 * The datagram of a record as it was on the underlay, with reconstructed outer headers: the kernel writes and reads them.
 * Undefined if the record has no peer or address, or if the payload does not fit one datagram.
 * @param frame egress: a frame or a segment of it; ingress: the UDP payload
 */
export function synthesizeOuter(
  record: CaptureRecord,
  frame: Slice,
  context: CaptureContext,
): Slice | undefined {
  const ends = endsOf(record, context);
  if (!ends) return undefined;
  const { inner } = encapsulationOf(context);
  const header = record.direction === 'egress' ? egressHeader(record, context).header : new Uint8Array(0);
  return wrapOuter({ ...ends, header, ...(inner === 'ethernet' ? { link: NO_LINK } : {}) }, frame);
}

/** The encapsulation header of a record on egress, and whether it leaves the inner checksum to the receiver. */
export function egressHeader(record: CaptureRecord, context: CaptureContext) {
  const plain = encapsulationOf(context).header(context.vni);
  return headerFor(plain, record.offload, record.remote?.remoteChecksum === true);
}

/**
 * The encapsulation header in front of a frame.
 * @param agreed the peer completes inner checksums itself (remote checksum offload)
 */
export function headerFor(
  plain: Uint8Array,
  { flags, csumStart, csumOffset }: GsoFields,
  agreed: boolean,
): { readonly header: Uint8Array; readonly isRemote: boolean } {
  const isPartial = agreed && (flags & NEEDS_CHECKSUM) !== 0;
  const remote = isPartial ? remoteChecksumHeader(plain, csumStart, csumOffset) : undefined;
  return { header: remote ?? plain, isRemote: remote !== undefined };
}

/** The datagram around a frame that may have been cut by the snap length, undefined where it does not fit one. */
export function wrapOuter(outer: Outer, frame: Slice): Slice | undefined {
  const { header } = outer;
  if (header.length + frame.length > PAYLOAD_MAX) return undefined;
  if (frame.bytes.length === frame.length) {
    const bytes = buildOuter(outer, frame.bytes);
    return { bytes, length: bytes.length };
  }
  // The lengths are the original ones. The checksum of the missing bytes is unknown; 0xffff stands for it.
  const padded = new Uint8Array(frame.length);
  padded.set(frame.bytes);
  const whole = buildOuter({ ...outer, checksum: false }, padded);
  const headers = whole.length - header.length - frame.length;
  viewOf(whole).setUint16(headers - 2, 0xffff);
  return { bytes: whole.subarray(0, headers + header.length + frame.bytes.length), length: whole.length };
}

type Ends = Pick<Outer, 'source' | 'destination' | 'sourcePort' | 'destinationPort'>;

function endsOf(record: CaptureRecord, context: CaptureContext): Ends | undefined {
  if (record.direction === 'egress') {
    const { remote } = record;
    const source = remote && ownAddress(context, remote.address);
    if (!remote || !source) return undefined;
    const sourcePort = context.sourcePorts[record.port] ?? context.port;
    return {
      source: addressBytes(source),
      destination: addressBytes(remote.address),
      sourcePort,
      destinationPort: remote.port,
    };
  }
  if (!record.address) return undefined;
  const source = formatIp(viewOf(record.address), 0);
  const destination = ownAddress(context, source);
  if (!destination) return undefined;
  return {
    source: addressBytes(source),
    destination: addressBytes(destination),
    sourcePort: record.port,
    destinationPort: context.port,
  };
}
