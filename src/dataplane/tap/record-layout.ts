/*
 * The record of one captured frame in the ring between worker and reader: int32 words, then the bytes. The points of one
 * frame share a record; the reader makes one packet per point. The bytes begin at RECORD_HEADER_BYTES plus the padding of
 * RECORD_LATENCY_AND_PADDING, so that slab and ring are aligned alike and words can be copied.
 */

import { RING_NOTES } from '../descriptor/ring.ts';

/** Bits of the points; the number of a point is the place of its bit in POINT_NAMES. */
export const EGRESS_INNER = 1;
export const EGRESS_OUTER = 2;
export const INGRESS_OUTER = 4;
export const INGRESS_INNER = 8;
export const DROP = 16;
export const POINT_NAMES = [
  'egress-inner',
  'egress-outer',
  'ingress-outer',
  'ingress-inner',
  'drop',
] as const;
export type PointName = (typeof POINT_NAMES)[number];

/** Notes of a ring: lost frames that had passed their last point, lost frames with a verdict that drops, its direction. */
export const NOTE_LOST_FORWARDED = RING_NOTES;
export const NOTE_LOST_DROPPED = RING_NOTES + 1;
export const NOTE_DIRECTION = RING_NOTES + 2;

/** Kinds of record: which way the frame went. */
export const KIND_EGRESS = 0;
export const KIND_INGRESS = 1;
/** Points that the frame passed and that were wanted. */
export const RECORD_POINTS = 0;
/** Time since 1970-01-01 UTC at which the batch was done (sent or written): seconds, and nanoseconds within. */
export const RECORD_SECONDS = 1;
export const RECORD_NANOSECONDS = 2;
/** Bytes copied, and bytes that there were. On ingress with the encapsulation header, on egress without. */
export const RECORD_CAPTURED = 3;
export const RECORD_LENGTH = 4;
export const RECORD_VERDICT = 5;
/** Peer slot, -1 for none. */
export const RECORD_PEER = 6;
/** The virtio-net fields of the descriptor: see `dataplane/descriptor/descriptor.ts`. */
export const RECORD_OFFLOAD = 7;
export const RECORD_GSO_SIZE = 8;
export const RECORD_CSUM_START = 9;
export const RECORD_CSUM_OFFSET = 10;
/** Datagrams sent, or frames merged. */
export const RECORD_SEGMENTS = 11;
export const RECORD_ERROR = 12;
/** Egress: DESC_SOCKET. Ingress: UDP source port. */
export const RECORD_PORT = 13;
/** Ingress: underlay source address in four words. Egress: DESC_PLACES or NO_PLACES in the first one. */
export const RECORD_ADDRESS = 14;
/** The places are not known: the flight recorder does not keep them. */
export const NO_PLACES = -2;
/** Records that this ring had to drop until this batch began, modulo 2^32. */
export const RECORD_LOST = 18;
/**
 * Low two bits: those of the place of the bytes in the slab, which is the padding in front of them. The others:
 * nanoseconds from the moment that the batch was read to the stamp; 0: not known, or more than half a second.
 */
export const RECORD_LATENCY_AND_PADDING = 19;
/** Nanoseconds from the moment that the batch was read until its frames went to be sent or written; 0: not known. */
export const RECORD_DECIDED = 20;
/** Generation of the tables that the batch was classified with: whose slots they are. */
export const RECORD_GENERATION = 21;
/** Of RECORD_LOST: frames that passed their last point, and frames with a verdict that drops. */
export const RECORD_LOST_FORWARDED = 22;
export const RECORD_LOST_DROPPED = 23;
/** Ingress: SOURCE_HOP_LIMIT, and SOURCE_FLOW_INFO with DESC_ARRIVED_ECN in bits 28 and 29. Egress: zeros. */
export const RECORD_HOP_LIMIT = 24;
export const RECORD_FLOW_INFO = 25;
export const ARRIVED_ECN_SHIFT = 28;
export const RECORD_HEADER_BYTES = 104;

/** When a batch passed its stations. */
export interface BatchTimes {
  /** Wall clock at its end: seconds, nanoseconds within. */
  readonly seconds: number;
  readonly nanoseconds: number;
  /** Nanoseconds from the read to the send or write, and to the end; below 2^29, 0 for not known. */
  readonly decidedNs: number;
  readonly tookNs: number;
  /** Generation of the tables. */
  readonly generation: number;
}
