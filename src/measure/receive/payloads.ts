/*
 * What a source of the sink read in one batch: one record per UDP payload, wherever it came from.
 */

/** int32 fields of a record. */
export const PAYLOAD_STRIDE = 12;
/** Bytes in front of the payload in the slab. */
export const PAYLOAD_OFFSET = 0;
/** Bytes of the payload that are there. */
export const PAYLOAD_LENGTH = 1;
/** Bytes of its IP packet. */
export const PAYLOAD_PACKET = 2;
/** Wall clock of its arrival: seconds since 1970-01-01 UTC, and nanoseconds. */
export const PAYLOAD_SECONDS = 3;
export const PAYLOAD_NANOSECONDS = 4;
/** Source port. */
export const PAYLOAD_PORT = 5;
/** Source address in four words, network byte order, IPv4 as ::ffff:a.b.c.d. */
export const PAYLOAD_ADDRESS = 6;

/** Where packets come from. */
export interface Source {
  /** Bytes that the records point into. */
  readonly view: DataView;
  readonly payloads: Int32Array;
  /** Waits for packets and reads those that are there. @returns records, or -errno */
  read(timeoutMs: number): number;
  /** Packets that the kernel dropped because the sink did not read them in time, since the source was opened. */
  dropped(): number;
}
