/*
 * The source record: where a message of the underlay came from. `receiveBatch` fills one record per message, and
 * DESC_SOURCE of a descriptor is the index of its message.
 */

/** int32 fields of one record. */
export const SOURCE_STRIDE = 12;
/** Address in four words, network byte order, IPv4 as ::ffff:a.b.c.d. */
export const SOURCE_ADDRESS = 0;
/** UDP source port, host byte order. */
export const SOURCE_PORT = 4;
/** 1 when the kernel cut the message (MSG_TRUNC). */
export const SOURCE_TRUNCATED = 5;
/** Bytes of every datagram of the message but the last: the whole message when the kernel did not coalesce. */
export const SOURCE_BYTES = 6;
/** TTL or hop limit of the outer header while `udpReportHeaders` is on, else -1. */
export const SOURCE_HOP_LIMIT = 7;
/** Outer traffic class (TOS) in bits 20..27; flow label in bits 0..19 while `udpReportHeaders` is on, else 0. */
export const SOURCE_FLOW_INFO = 8;
export const FLOW_INFO_CLASS_SHIFT = 20;
/** Wall clock of its arrival as the kernel stamped it: seconds since 1970-01-01 UTC, and nanoseconds; 0 without `udpReportTimes`. */
export const SOURCE_SECONDS = 9;
export const SOURCE_NANOSECONDS = 10;
