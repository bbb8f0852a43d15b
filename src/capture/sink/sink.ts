import type { Packet } from '../format/packet.ts';

/** Where a running capture goes. A sink that can take no more throws RipstopError; what it took before is kept. */
export interface CaptureSink {
  /** Takes a packet; it may wait in memory until `flush`. */
  packet(packet: Packet): Promise<void>;
  /** Hands everything on that waits. */
  flush(): Promise<void>;
  /** Ends the capture properly. A second call does nothing. */
  close(): Promise<void>;
  /** Packets that have left memory. */
  readonly written: number;
}

/** Bytes that may wait before a sink writes by itself. */
export const FLUSH_BYTES = 256 * 1024;
