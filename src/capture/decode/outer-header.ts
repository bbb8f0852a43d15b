import { buildOuter, type Outer } from '../../../encap/outer-header.ts';
import { formatIp, viewOf } from '../../../encap/wire/addresses.ts';
import { addressBytes } from '../../ip/address.ts';
import { type CaptureContext, encapsulationOf, ownAddress } from '../live/context.ts';
import type { CaptureRecord } from '../live/record.ts';
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
  const encapsulation = encapsulationOf(context);
  const header = record.direction === 'egress' ? encapsulation.header(context.vni) : new Uint8Array(0);
  if (header.length + frame.length > PAYLOAD_MAX) return undefined;
  const outer: Outer = { ...ends, header, ...(encapsulation.inner === 'ethernet' ? { link: NO_LINK } : {}) };
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
    const peer = record.peer < 0 ? undefined : context.peers[record.peer];
    const source = peer && ownAddress(context, peer.address);
    if (!peer || !source) return undefined;
    const sourcePort = context.sourcePorts[record.port] ?? context.port;
    return {
      source: addressBytes(source),
      destination: addressBytes(peer.address),
      sourcePort,
      destinationPort: peer.port,
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
