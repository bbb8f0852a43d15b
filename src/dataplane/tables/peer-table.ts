import { elementAt } from '../../base/at.ts';
import type { Mac } from './mac.ts';

/**
 * The peer table: one record per remote node, read by the native senders. A record is thirty-two int32; `src/native`
 * holds the same numbers and `dataplane/io/check-addon-layout.ts` compares them. One writer (the control thread), published by generation.
 */
export const PEER_STRIDE = 32;
/** 4 or 6: family of the underlay address; 0 marks an empty record. */
export const PEER_FAMILY = 0;
/** UDP destination port, host byte order. */
export const PEER_PORT = 1;
/** Underlay address, 16 bytes in network order in four words (IPv4 as ::ffff:a.b.c.d). */
export const PEER_ADDRESS = 2;
/** Largest outer IP packet that the path takes, bytes. */
export const PEER_PATH_MTU = 6;
/** Largest inner IP packet that fits the path, bytes: the path MTU less the encapsulation's overhead. */
export const PEER_INNER_MTU = 7;
/** Bytes of the encapsulation header in front of every frame: 8 for VXLAN, 0 for udp. */
export const PEER_HEADER_BYTES = 8;
/** That header as on the wire: 8 bytes in two words. */
export const PEER_HEADER = 9;
/** VTEP MAC of the peer: first two bytes in bits 0..15 of the first word, last four in the second, big-endian values; all zero: none. */
export const PEER_MAC = 11;
/** 1 when each datagram to the peer leaves in a message of its own: UDP_SEGMENT towards it is broken. */
export const PEER_UNSEGMENTED = 13;
/** 1 when the peer completes partial inner checksums itself (remote checksum offload). */
export const PEER_REMOTE_CHECKSUM = 14;
/**
 * The peer's own addresses, inner sources outside its subnets: one word IPv4, four words IPv6, big-endian values as
 * signed int32; all zero: none.
 */
export const PEER_HOST4 = 15;
export const PEER_HOST6 = 16;
/** Bits of the traffic class of a frame that the outer header takes over: ECN, DSCP, both or none. */
export const PEER_CLASS_MASK = 20;

/** A record as a value. */
export interface PeerRecord {
  readonly family: 4 | 6;
  /** Underlay address, 16 bytes in network order, IPv4 as ::ffff:a.b.c.d. */
  readonly address: Uint8Array;
  /** UDP destination port. */
  readonly port: number;
  /** Largest outer IP packet, bytes. */
  readonly pathMtu: number;
  /** Largest inner IP packet, bytes. */
  readonly innerMtu: number;
  /** Encapsulation header in front of every frame, at most 8 bytes. */
  readonly header: Uint8Array;
  /** MAC of the VTEP. */
  readonly mac: Mac | undefined;
  /** Bits of the traffic class of a frame that the outer header takes over. */
  readonly classMask?: number | undefined;
  /** Both ends leave inner checksums partial for each other (remote checksum offload). */
  readonly remoteChecksum?: boolean | undefined;
  /** No message to the peer holds several datagrams. */
  readonly unsegmented?: boolean | undefined;
  /** Own address of the node in each family: one word, and four; big-endian values as signed int32. */
  readonly host4?: number | undefined;
  readonly host6?: readonly number[] | undefined;
}

/** int32 words of a table of `peers` records. */
export function peerWords(peers: number): number {
  return peers * PEER_STRIDE;
}

/** Fills the record of `slot`. */
export function writePeer(table: Int32Array, slot: number, peer: PeerRecord): void {
  const at = slot * PEER_STRIDE;
  table.fill(0, at, at + PEER_STRIDE);
  table[at + PEER_FAMILY] = peer.family;
  table[at + PEER_PORT] = peer.port;
  table[at + PEER_PATH_MTU] = peer.pathMtu;
  table[at + PEER_INNER_MTU] = peer.innerMtu;
  table[at + PEER_HEADER_BYTES] = peer.header.length;
  table[at + PEER_UNSEGMENTED] = peer.unsegmented ? 1 : 0;
  table[at + PEER_CLASS_MASK] = peer.classMask ?? 0;
  table[at + PEER_REMOTE_CHECKSUM] = peer.remoteChecksum ? 1 : 0;
  bytesOf(table, at + PEER_ADDRESS, 16).set(peer.address);
  bytesOf(table, at + PEER_HEADER, 8).set(peer.header);
  table[at + PEER_MAC] = peer.mac?.hi ?? 0;
  table[at + PEER_MAC + 1] = peer.mac?.lo ?? 0;
  table[at + PEER_HOST4] = peer.host4 ?? 0;
  table.set(peer.host6 ?? [0, 0, 0, 0], at + PEER_HOST6);
}

/** A copy of the record of `slot` as a value, undefined when it is empty. */
export function readPeer(table: Int32Array, slot: number): PeerRecord | undefined {
  const at = slot * PEER_STRIDE;
  const family = table[at + PEER_FAMILY];
  if (family !== 4 && family !== 6) return undefined;
  const mac = { hi: elementAt(table, at + PEER_MAC), lo: elementAt(table, at + PEER_MAC + 1) };
  return {
    family,
    address: Uint8Array.from(bytesOf(table, at + PEER_ADDRESS, 16)),
    port: elementAt(table, at + PEER_PORT),
    pathMtu: elementAt(table, at + PEER_PATH_MTU),
    innerMtu: elementAt(table, at + PEER_INNER_MTU),
    header: Uint8Array.from(bytesOf(table, at + PEER_HEADER, elementAt(table, at + PEER_HEADER_BYTES))),
    mac: mac.hi === 0 && mac.lo === 0 ? undefined : mac,
    classMask: elementAt(table, at + PEER_CLASS_MASK),
    remoteChecksum: table[at + PEER_REMOTE_CHECKSUM] === 1,
    unsegmented: table[at + PEER_UNSEGMENTED] === 1,
    ...hostsAt(table, at),
  };
}

function hostsAt(table: Int32Array, at: number): Pick<PeerRecord, 'host4' | 'host6'> {
  const host4 = elementAt(table, at + PEER_HOST4);
  const host6 = [...table.subarray(at + PEER_HOST6, at + PEER_HOST6 + 4)];
  return { ...(host4 ? { host4 } : {}), ...(host6.some(word => word !== 0) ? { host6 } : {}) };
}

function bytesOf(table: Int32Array, word: number, length: number): Uint8Array {
  return new Uint8Array(table.buffer, table.byteOffset + word * 4, length);
}
