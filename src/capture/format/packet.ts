/**
 * The values that capture files are made of: cold, one object a packet, common to the writers, the readers and
 * the replay.
 */

/** IEEE 802.3 Ethernet frames: https://www.tcpdump.org/linktypes.html */
export const LINK_ETHERNET = 1;
/** Bare IPv4 or IPv6 packets, told apart by their first four bits. */
export const LINK_RAW = 101;

/** Where packets were taken: one interface block of a pcapng file. */
export interface CaptureInterface {
  /** LINKTYPE_* number. */
  readonly link: number;
  /** Bytes kept of each packet at most; 0 for no limit. */
  readonly snapLength: number;
  readonly name?: string;
  readonly description?: string;
  /** Capture filter in tcpdump's language. */
  readonly filter?: string;
}

/** Counts of one interface, for its statistics block. Absent ones are not known. */
export interface InterfaceStatistics {
  /** Packets that came by while the capture ran. */
  readonly received?: bigint;
  /** Packets lost because the reader was too slow. */
  readonly dropped?: bigint;
  /** Packets that the filter let pass. */
  readonly accepted?: bigint;
  /** Packets handed to the user. */
  readonly delivered?: bigint;
  /** First and last moment of the capture, nanoseconds since 1970-01-01 UTC. */
  readonly started?: bigint;
  readonly ended?: bigint;
}

export type Direction = 'in' | 'out';

export interface Packet {
  /** Index into the interfaces of its capture. */
  readonly interface: number;
  /** Nanoseconds since 1970-01-01 UTC; 0 where the file does not say. */
  readonly time: bigint;
  /** The captured bytes. */
  readonly bytes: Uint8Array;
  /** Bytes that the packet had; `bytes` is shorter when it was cut. */
  readonly length: number;
  readonly direction?: Direction;
  /** Remarks for a person, in order. */
  readonly comments?: readonly string[];
  /** Packets lost on this interface since the packet before. */
  readonly dropped?: bigint;
}

/**
 * A capture file format as a stream of bytes. `begin` opens each file (also after a rotation), `end` closes it.
 * Statistics are by interface, in the order of the interfaces.
 */
export interface CaptureFormat {
  /** Name without a dot, for the file: `pcapng`, `pcap`. */
  readonly suffix: string;
  begin(out: ByteQueue): void;
  packet(out: ByteQueue, packet: Packet): void;
  end(out: ByteQueue, statistics: readonly InterfaceStatistics[]): void;
}

/** What a format writes into: bytes that wait for a sink. */
export interface ByteQueue {
  /** Bytes that wait. */
  readonly length: number;
  /** View of the memory; valid until the next `reserve`. */
  readonly view: DataView;
  readonly bytes: Uint8Array;
  /** Adds `count` zero bytes and returns where they begin. */
  reserve(count: number): number;
  /** The waiting bytes as a copy that belongs to the caller; the queue is empty afterwards. */
  take(): Uint8Array;
}
