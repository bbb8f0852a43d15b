import type { ByteQueue } from './byte-queue.ts';

/* The values of capture files: one object per packet, for the writers, the readers and the replay. */

/** IEEE 802.3 Ethernet frames: https://www.tcpdump.org/linktypes.html */
export const LINK_ETHERNET = 1;
/** Bare IPv4 or IPv6 packets, distinguished by their first four bits. */
export const LINK_RAW = 101;

/** A capture point: one interface block of a pcapng file. */
export interface CaptureInterface {
  /** LINKTYPE_* number. */
  readonly link: number;
  /** Maximum bytes kept per packet; 0 for no limit. */
  readonly snapLength: number;
  readonly name?: string;
  readonly description?: string;
  /** Capture filter in tcpdump's language. */
  readonly filter?: string;
}

/** Counts of one interface, for its statistics block. */
export interface InterfaceStatistics {
  /** Packets that passed while the capture ran. */
  readonly received: bigint;
  /** Packets lost because the reader was too slow. */
  readonly dropped: bigint;
  /** Packets that the filter accepted. */
  readonly accepted: bigint;
  /** Packets written to the sink. */
  readonly delivered: bigint;
  /** First and last moment of the capture, nanoseconds since 1970-01-01 UTC. */
  readonly started: bigint;
  readonly ended: bigint;
}

export type Direction = 'in' | 'out';

export interface Packet {
  /** Index into the interfaces of its capture. */
  readonly interface: number;
  /** Nanoseconds since 1970-01-01 UTC; 0 if the file does not have it. */
  readonly time: bigint;
  /** The captured bytes. */
  readonly bytes: Uint8Array;
  /** Original length of the packet; `bytes` is shorter if the snap length cut it. */
  readonly length: number;
  readonly direction?: Direction;
  readonly comments?: readonly string[];
  /** Names of the pods at its ends, for formats that have fields for them. */
  readonly pods?: { readonly sourcePod: string | null; readonly destinationPod: string | null };
  /** Packets lost on this interface since the previous packet. */
  readonly dropped?: bigint;
}

/**
 * A capture file format as a stream of bytes. `begin` opens each file (also after a rotation), `end` closes it.
 * Statistics are by interface, in the order of the interfaces.
 */
export interface CaptureFormat {
  begin(out: ByteQueue): void;
  packet(out: ByteQueue, packet: Packet): void;
  end(out: ByteQueue, statistics: readonly InterfaceStatistics[]): void;
}
