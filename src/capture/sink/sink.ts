import type { Packet } from '../format/packet.ts';

/** The destination of a capture. A sink that cannot continue throws RipstopError; earlier packets are kept. */
export interface CaptureSink {
  /** Adds a packet; it may stay in memory until `flush`. */
  packet(packet: Packet): Promise<void>;
  /** Writes the packets that wait in memory. */
  flush(): Promise<void>;
  /** Completes the capture. A second call does nothing. */
  close(): Promise<void>;
}

/** A sink flushes by itself when this many bytes wait. */
export const FLUSH_BYTES = 256 * 1024;
