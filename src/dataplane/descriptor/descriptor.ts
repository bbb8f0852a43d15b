/**
 * The batch: one table of descriptors and one slab of bytes. A descriptor is sixteen int32 (one cache line). The bytes stay
 * where the kernel put them; both sides of the native boundary use offsets.
 *
 * Descriptor fields, as int32 indices; `src/native/constants.h` holds the same numbers and `dataplane/io/check-addon-layout.ts` compares them.
 * A frame is the inner packet (Ethernet in `vxlan`, IP in `udp`); on receive it is first the whole datagram.
 */
export const DESC_STRIDE = 16;
/** Byte offset of the frame in the slab. */
export const DESC_OFFSET = 0;
/** Bytes of the frame. */
export const DESC_LENGTH = 1;
/** virtio-net header: flags in bits 0..7, gso_type in bits 8..15. */
export const DESC_OFFLOAD = 2;
/** virtio-net gso_size: payload bytes per segment, 0 for none. */
export const DESC_GSO_SIZE = 3;
/** virtio-net csum_start and csum_offset, bytes from the start of the frame (csum_offset: from csum_start). */
export const DESC_CSUM_START = 4;
export const DESC_CSUM_OFFSET = 5;
/** Verdict of the frame: a number of `dataplane/descriptor/verdicts.ts`. */
export const DESC_VERDICT = 6;
/** Peer slot, -1 for none. */
export const DESC_PEER = 7;
/**
 * Egress: index of the sending socket in bits 0..7, traffic class of the outer header in bits 8..15. Ingress: index in `sources`
 * of the message that the datagram came in.
 */
export const DESC_SOCKET = 8;
export const SOCKET_MASK = 0xff;
export const SOCKET_CLASS_SHIFT = 8;
export const DESC_SOURCE = 8;
/** Egress: datagrams sent for the frame. Ingress: frames merged, on the first frame of a GSO packet. */
export const DESC_SEGMENTS = 9;
/** errno of a refused send or write, 0 when it went out. */
export const DESC_ERROR = 10;
/** Bytes of the Ethernet header with its VLAN tags, 0 in `udp` mode: where the IP header begins. */
export const DESC_L3 = 11;
/** Egress: hash of the inner flow; picks the source port. */
export const DESC_FLOW = 12;
/** Ingress: ECN field that the inner header arrived with, where a mark of the outer one replaced it; else 0. */
export const DESC_ARRIVED_ECN = 12;

/** Egress: places of its datagrams in the messages, as `src/native/udp-send.cc` packs them; -1: they went one by one. */
export const DESC_PLACES = 15;

/** Bytes in front of every frame that encapsulation may write: virtio-net header and VXLAN header fit many times. */
export const HEADROOM = 128;
/** The largest frame a device hands over: an Ethernet header with two tags and 65 535 bytes of IP. */
export const FRAME_MAX = 65535 + 22;

export interface Batch {
  /** Descriptors, `capacity * STRIDE` int32. */
  readonly table: Int32Array;
  /** Bytes that the descriptors point into. */
  readonly slab: Uint8Array;
  /** Big-endian reads of the slab at any alignment. */
  readonly view: DataView;
  readonly capacity: number;
}

/** A batch of `capacity` descriptors over `slabBytes` of memory, in shared memory so that its address never moves. */
export function createBatch(capacity: number, slabBytes: number): Batch {
  const table = new Int32Array(new SharedArrayBuffer(capacity * DESC_STRIDE * 4));
  const memory = new SharedArrayBuffer(slabBytes);
  return { table, slab: new Uint8Array(memory), view: new DataView(memory), capacity };
}
