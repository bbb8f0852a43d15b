import type { Batch } from '../descriptor/descriptor.ts';

/*
 * The two interfaces of the forwarder. Real devices, loopbacks and wrappers that inject faults implement them.
 */

/** Source and destination of inner frames: a TAP, a TUN, or a test double. */
export interface FrameDevice {
  /**
   * Reads the frames that are there, one descriptor per frame. Does not sleep.
   * @returns frames read, -errno when the device failed
   */
  readBatch(batch: Batch): number;
  /**
   * Writes the descriptors 0..count-1 whose verdict is FORWARD, merging segments of one flow into GSO packets.
   * A frame that is refused gets another verdict (BAD_CHECKSUM, WRITE_FAILED) and its DESC_ERROR set.
   * @returns frames refused
   */
  writeBatch(batch: Batch, count: number): number;
}

/** Source and destination of outer datagrams. */
export interface DatagramPort {
  /**
   * Sends the descriptors 0..count-1 whose verdict is FORWARD, segmented, each to its DESC_PEER from its DESC_SOCKET.
   * A frame that is refused gets another verdict (TOO_BIG, SEND_FAILED, EGRESS_MALFORMED) and its DESC_ERROR set.
   * @param peers the peer records (`dataplane/tables/peer-table.ts`) of the generation that the verdicts were made with
   * @returns frames refused
   */
  sendBatch(batch: Batch, count: number, peers: Int32Array): number;
  /**
   * Receives the datagrams that are there, one descriptor per datagram; DESC_SOURCE is the index into `sources` of the message that
   * it came in. Does not sleep.
   * @returns datagrams, -errno when the socket failed
   */
  receiveBatch(batch: Batch): number;
  /** Source addresses of the last receive, one record of `descriptor/source.ts` per message. */
  readonly sources: Int32Array;
}
