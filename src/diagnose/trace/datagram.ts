import { markRemoteChecksum } from '../../../encap/vxlan.ts';
import { viewOf } from '../../../encap/wire/addresses.ts';
import type { TracePacket } from './packet.ts';

/** Bytes of an Ethernet header without tags. */
const ETHERNET_BYTES = 14;

/** What a sender adds to a frame for a peer. */
export interface Encapsulating {
  /** Encapsulation header for the peer. */
  readonly header: Uint8Array;
  /** The checksum of TCP and UDP is left to the peer (remote checksum offload, vxlan). */
  readonly remoteChecksum: boolean;
}

/**
 * The UDP payload that the sender of the data plane (`native/udp-send.cc`) makes of a packet, byte for byte.
 * @param frame the packet as the device hands it over
 */
export function datagramOf(
  packet: TracePacket,
  frame: Uint8Array,
  { header, remoteChecksum }: Encapsulating,
): Uint8Array {
  const payload = new Uint8Array(header.length + frame.length);
  payload.set(header);
  payload.set(frame, header.length);
  const { partial } = packet;
  if (!remoteChecksum || !partial) return payload;
  const view = viewOf(payload);
  markRemoteChecksum(view, 0, ETHERNET_BYTES + partial.start, packet.protocol === 'udp');
  view.setUint16(header.length + ETHERNET_BYTES + partial.field, partial.sum);
  return payload;
}
