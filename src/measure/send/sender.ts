/** What a thread sends packets with, in batches. */
export interface Sender {
  /** Packets per batch. */
  readonly capacity: number;
  /** Writes packet `index` of the batch: `bytes` of IP packet, header fields as in `encap/wire/measure.ts`. */
  write(
    index: number,
    flow: number,
    bytes: number,
    flag: number,
    sequence: number,
    nanoseconds: number,
  ): void;
  /** Sends the first `count` packets. @returns how many of them the kernel refused */
  send(count: number): number;
  /** errno of the last refused packet, 0 for none; cleared by its owner. */
  errno: number;
  /** STAT_* counters of the native side. */
  readonly stats: Int32Array;
}

/** Packets per batch: one system call without UDP_SEGMENT, eight full messages with it. */
export const BATCH = 64;
export const BATCH_GSO = 512;
/** Datagrams per message (UDP_SEGMENT): UDP_MAX_SEGMENTS before Linux 6.9. */
export const SEGMENTS = 64;

export const capacityOf = (gso: boolean): number => (gso ? BATCH_GSO : BATCH);
