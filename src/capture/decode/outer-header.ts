import { setEcn } from '../../../encap/ecn.ts';
import { buildOuter, type Outer } from '../../../encap/outer-header.ts';
import { remoteChecksumHeader } from '../../../encap/vxlan.ts';
import { formatIp, viewOf } from '../../../encap/wire/addresses.ts';
import * as ipv4 from '../../../encap/wire/ipv4.ts';
import { linkBytes } from '../../../encap/wire/vlan.ts';
import { NEEDS_CHECKSUM } from '../../../encap/wire/vnet-hdr.ts';
import { FLOW_INFO_CLASS_SHIFT } from '../../dataplane/descriptor/source.ts';
import { NO_PLACES } from '../../dataplane/tap/record-layout.ts';
import { addressBytes } from '../../ip/address.ts';
import { macBytes } from '../../ip/mac.ts';
import { type CaptureContext, encapsulationOf, ownAddress } from '../live/context.ts';
import type { CaptureRecord, GsoFields } from '../live/record.ts';
import type { Slice } from './segments.ts';

/** MAC addresses that are not known are written as zeros, as in a capture of `lo`. */
const NO_MAC = new Uint8Array(6);
/** A place in DESC_PLACES. */
const PLACE_BITS = 7;
const PLACE_MASK = (1 << PLACE_BITS) - 1;
/** Traffic class and flow label in SOURCE_FLOW_INFO. */
const TRAFFIC_CLASS_MASK = 0xff;
const FLOW_LABEL_MASK = 0xfffff;
/** Maximum UDP payload of one outer packet, over either address family. */
const PAYLOAD_MAX = 65535 - 48;

/**
 * The datagram of a record as it was on the underlay, with reconstructed outer headers: the kernel writes and reads them. What
 * is not known has a default; `unknownFields` names it. Undefined if the record has no peer or address, or if the payload does
 * not fit one datagram.
 * @param frame egress: a frame or a segment of it; ingress: the UDP payload
 * @param part number of the segment, from 0, and how many there are
 */
export function synthesizeOuter(
  record: CaptureRecord,
  frame: Slice,
  context: CaptureContext,
  part = { index: 0, count: 1 },
): Slice | undefined {
  const ends = endsOf(record, context);
  if (!ends) return undefined;
  const { link, places, flowInfo } = record;
  const isOut = record.direction === 'egress';
  const header = isOut ? egressHeader(record, context).header : new Uint8Array(0);
  const macs = { source: macOf(link?.sourceMac), destination: macOf(link?.destinationMac) };
  const ttl = isOut ? link?.hopLimit : record.hopLimit;
  const dontFragment = !isOut || hasDontFragment(record, context);
  const fields = {
    tos: (flowInfo >>> FLOW_INFO_CLASS_SHIFT) & TRAFFIC_CLASS_MASK,
    flowLabel: flowInfo & FLOW_LABEL_MASK,
    ...(isOut
      ? { dontFragment, identification: dontFragment ? placeOf(places, part.index, part.count) : 0 }
      : {}),
  };
  const { inner } = encapsulationOf(context);
  return wrapOuter(
    {
      ...{ ...ends, ...fields, header },
      ...(ttl === undefined ? {} : { ttl }),
      ...(inner === 'ethernet' ? { link: macs } : {}),
    },
    isOut ? frame : asArrived(record, frame, context),
  );
}

/** The payload of a datagram before a congestion mark of the outer header went into the inner one. */
function asArrived({ arrivedEcn }: CaptureRecord, payload: Slice, context: CaptureContext): Slice {
  if (arrivedEcn === 0) return payload;
  const { headerBytes, inner } = encapsulationOf(context);
  const bytes = payload.bytes.slice();
  const view = viewOf(bytes);
  const ip =
    headerBytes + (inner === 'ethernet' ? linkBytes(view, headerBytes, bytes.length - headerBytes) : 0);
  if (bytes.length >= ip + ipv4.MIN_BYTES) setEcn(view, ip, arrivedEcn);
  return { bytes, length: payload.length };
}

function macOf(text: string | undefined): Uint8Array {
  return text ? macBytes(text) : NO_MAC;
}

/** True for what a socket with DF sent: all but the last one. */
function hasDontFragment({ port }: CaptureRecord, { sourcePorts }: CaptureContext): boolean {
  return port + 1 < sourcePorts.length;
}

/**
 * Place of a datagram in the message that it was sent with (UDP_SEGMENT). It is its IPv4 identification: the kernel writes 0
 * into what an unconnected socket sends with DF (ip_select_ident_segs) and counts on from there when it cuts the message
 * (inet_gso_segment).
 * @param places DESC_PLACES of its frame, as the addon packs them (`src/native/udp-send.cc`)
 */
export function placeOf(places: number, index: number, count: number): number {
  if (places < 0) return 0;
  const field = (number: number) => (places >>> (number * PLACE_BITS)) & PLACE_MASK;
  const first = field(1) + 1;
  if (count > 1 && index === count - 1) return field(3);
  return index < first ? field(0) + index : (index - first) % (field(2) + 1);
}

/**
 * Fields of the outer headers of one record that are not known, so that they have defaults. What is never known of a point
 * is in the description of its interface.
 */
export function unknownFields(record: CaptureRecord, context: CaptureContext): string[] {
  const { link } = record;
  if (record.direction === 'ingress') return record.hopLimit === undefined ? ['TTL', 'traffic class'] : [];
  const isEthernet = encapsulationOf(context).inner === 'ethernet';
  return [
    ...(isEthernet && !link?.sourceMac ? ['source MAC'] : []),
    ...(isEthernet && !link?.destinationMac ? ['destination MAC'] : []),
    ...(link?.hopLimit === undefined ? ['TTL'] : []),
    ...(hasDontFragment(record, context) && record.places !== NO_PLACES ? [] : ['identification']),
  ];
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
