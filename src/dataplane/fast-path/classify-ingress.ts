import {
  BAD_FLAGS as WIRE_BAD_FLAGS,
  RUNT as WIRE_RUNT,
  WRONG_VNI as WIRE_WRONG_VNI,
} from '../../../encap/encap.ts';
import { check as checkUdp } from '../../../encap/udp.ts';
import { check as checkVxlan } from '../../../encap/vxlan.ts';
import type { Batch } from '../descriptor/descriptor.ts';
import {
  DESC_CSUM_OFFSET,
  DESC_CSUM_START,
  DESC_L3,
  DESC_LENGTH,
  DESC_OFFLOAD,
  DESC_OFFSET,
  DESC_PEER,
  DESC_SOURCE,
  DESC_STRIDE,
  DESC_VERDICT,
} from '../descriptor/descriptor.ts';
import {
  BAD_FLAGS,
  FORWARD,
  INNER_MALFORMED,
  MULTICAST,
  NOT_FOR_US,
  OVERSIZED,
  RUNT,
  SPOOFED_SOURCE,
  TRUNCATED,
  UNKNOWN_PEER,
  WRONG_VNI,
} from '../descriptor/verdicts.ts';
import { SOURCE_STRIDE, SOURCE_TRUNCATED } from '../io/interfaces.ts';
import { findPrefix4, findPrefix6 } from '../tables/lpm.ts';
import { PEER_HOST4, PEER_HOST6, PEER_MAC, PEER_REMOTE_CHECKSUM, PEER_STRIDE } from '../tables/peer-table.ts';
import { findPeerBySource } from '../tables/source-table.ts';
import type { TableView } from '../tables/tables.ts';
import { ipVersion, packetBytes } from './flow.ts';

/** What the gate goes by besides the tables. Constant while a worker runs. */
export interface IngressRules {
  /** 1 when frames are Ethernet (vxlan), 0 when they are IP (udp). */
  readonly ethernet: number;
  readonly vni: number;
  /** MAC of the own VTEP: first two bytes, last four as a signed int32. */
  readonly macHi16: number;
  readonly macLo32: number;
  /** 1 when frames to groups pass. */
  readonly flood: number;
  /** 1 when the inner source must belong to the peer that sent it. */
  readonly strict: number;
  /** Bytes of the largest inner IP packet. */
  readonly mtu: number;
  /** 1 when a TCP packet above the MTU may be the whole superframe of a kernel peer on this host. */
  readonly superframes: number;
}

/**
 * The gate: judges every datagram that came in and leaves DESC_OFFSET and DESC_LENGTH on the frame inside.
 * @returns how many are no FORWARD
 * @hot
 */
export function judgeIngress(
  batch: Batch,
  count: number,
  sources: Int32Array,
  tables: TableView,
  rules: IngressRules,
): number {
  const table = batch.table;
  const view = batch.view;
  let exceptions = 0;
  let message = -1;
  let peer = -1;
  for (let i = 0; i < count; i++) {
    const at = i * DESC_STRIDE;
    if (table[at + DESC_SOURCE] !== message) {
      message = table[at + DESC_SOURCE]!;
      const source = message * SOURCE_STRIDE;
      peer = findPeerBySource(
        tables.sources,
        sources[source]!,
        sources[source + 1]!,
        sources[source + 2]!,
        sources[source + 3]!,
      );
    }
    table[at + DESC_PEER] = peer;
    table[at + DESC_L3] = 0;
    let verdict = FORWARD;
    if (sources[message * SOURCE_STRIDE + SOURCE_TRUNCATED] === 1) verdict = TRUNCATED;
    else if (peer < 0) verdict = UNKNOWN_PEER;
    else if (rules.ethernet === 1) verdict = judgeVxlan(table, at, view, peer, tables, rules);
    else verdict = judgeBare(view, table[at + DESC_OFFSET]!, table[at + DESC_LENGTH]!, peer, tables, rules);
    table[at + DESC_VERDICT] = verdict;
    if (verdict !== FORWARD) exceptions++;
  }
  return exceptions;
}

/**
 * A datagram of flannel's udp format: an IP packet and nothing else, its version told by its first half byte.
 * @hot
 */
function judgeBare(
  view: DataView,
  ip: number,
  length: number,
  peer: number,
  tables: TableView,
  rules: IngressRules,
): number {
  if (checkUdp(view, ip, length, 0) !== 0) return RUNT;
  return judgePacket(view, ip, length, view.getUint8(ip) >>> 4, peer, tables, rules);
}

/** @hot */
function judgeVxlan(
  table: Int32Array,
  at: number,
  view: DataView,
  peer: number,
  tables: TableView,
  rules: IngressRules,
): number {
  const datagram = table[at + DESC_OFFSET]!;
  const bytes = table[at + DESC_LENGTH]!;
  const wire =
    tables.peers[peer * PEER_STRIDE + PEER_REMOTE_CHECKSUM] === 1
      ? takeRemoteChecksum(table, at, view, datagram, bytes, rules.vni)
      : checkVxlan(view, datagram, bytes, rules.vni);
  if (wire !== 0) return wire === WIRE_RUNT ? RUNT : wire === WIRE_BAD_FLAGS ? BAD_FLAGS : WRONG_VNI;
  const frame = datagram + 8;
  const length = bytes - 8;
  table[at + DESC_OFFSET] = frame;
  table[at + DESC_LENGTH] = length;
  const high = view.getUint16(frame);
  if ((high & 0x0100) !== 0) {
    if (rules.flood === 0) return MULTICAST;
  } else if (high !== rules.macHi16 || view.getInt32(frame + 2) !== rules.macLo32) return NOT_FOR_US;
  if (rules.strict === 1 && isFrom(view, frame, peer, tables.peers) === 0) return SPOOFED_SOURCE;
  let l3 = 14;
  let type = view.getUint16(frame + 12);
  while ((type === 0x8100 || type === 0x88a8) && l3 < 22 && length >= l3 + 4) {
    type = view.getUint16(frame + l3 + 2);
    l3 += 4;
  }
  table[at + DESC_L3] = l3;
  const version = ipVersion(type);
  if (version !== 0) {
    const verdict = judgePacket(view, frame + l3, length - l3, version, peer, tables, rules);
    if (verdict !== FORWARD || table[at + DESC_OFFLOAD] !== 1) return verdict;
    const start = table[at + DESC_CSUM_START]! - l3;
    return mayFinish(view, frame + l3, version, start, start + table[at + DESC_CSUM_OFFSET]!) === 1
      ? FORWARD
      : BAD_FLAGS;
  }
  if (table[at + DESC_OFFLOAD] === 1) return BAD_FLAGS;
  if (type === 0x0806) return judgeArp(view, frame + l3, length - l3, peer, tables, rules);
  return INNER_MALFORMED;
}

/**
 * The VXLAN header of a peer with remote checksum offload: as `checkVxlan`, but it may leave the checksum open and say
 * where (include/net/vxlan.h of the kernel, VXLAN_HF_RCO; the last byte: start in units of two, 0x80 for UDP).
 * @hot
 */
function takeRemoteChecksum(
  table: Int32Array,
  at: number,
  view: DataView,
  datagram: number,
  bytes: number,
  vni: number,
): number {
  if (bytes < 22 || view.getInt32(datagram) !== 0x08200000) return checkVxlan(view, datagram, bytes, vni);
  if (view.getUint32(datagram + 4) >>> 8 !== vni) return WIRE_WRONG_VNI;
  const where = view.getUint8(datagram + 7);
  const start = (where & 0x7f) << 1;
  const offset = where > 0x7f ? 6 : 16;
  if (start + offset + 2 > bytes - 8) return WIRE_BAD_FLAGS;
  table[at + DESC_OFFLOAD] = 1;
  table[at + DESC_CSUM_START] = start;
  table[at + DESC_CSUM_OFFSET] = offset;
  return 0;
}

/**
 * 1 when an open checksum, summed from `start` and written at `field`, both from the IP header, lies behind that header and
 * within its packet. Anything else would let a peer have the kernel rewrite the addresses that were just judged.
 * @hot
 */
function mayFinish(view: DataView, ip: number, version: number, start: number, field: number): number {
  if (version === 4) {
    const header = (view.getUint8(ip) & 15) << 2;
    return start === header && field + 2 <= view.getUint16(ip + 2) ? 1 : 0;
  }
  return start >= 40 && field + 2 <= 40 + view.getUint16(ip + 4) ? 1 : 0;
}

/**
 * 1 when the source MAC is the VTEP's of the peer, or the peer's is not known.
 * @hot
 */
function isFrom(view: DataView, frame: number, peer: number, peers: Int32Array): number {
  const at = peer * PEER_STRIDE + PEER_MAC;
  const high = peers[at]!;
  const low = peers[at + 1]!;
  if (high === 0 && low === 0) return 1;
  return view.getUint16(frame + 6) === high && view.getInt32(frame + 8) === low ? 1 : 0;
}

/** @hot */
function judgePacket(
  view: DataView,
  ip: number,
  length: number,
  version: number,
  peer: number,
  tables: TableView,
  rules: IngressRules,
): number {
  const bytes = packetBytes(view, ip, length, version);
  if (bytes < 0) return INNER_MALFORMED;
  const four = version === 4;
  if (bytes > rules.mtu) {
    const protocol = four ? view.getUint8(ip + 9) : view.getUint8(ip + 6);
    if (rules.superframes === 0 || protocol !== 6) return OVERSIZED;
  }
  if (rules.strict === 0) return FORWARD;
  const owner = four
    ? findPrefix4(tables.prefixes4, view.getInt32(ip + 12))
    : findPrefix6(
        tables.prefixes6,
        view.getInt32(ip + 8),
        view.getInt32(ip + 12),
        view.getInt32(ip + 16),
        view.getInt32(ip + 20),
      );
  if (owner === peer) return FORWARD;
  const at = peer * PEER_STRIDE;
  return (four ? isHost4(view, ip, at, tables.peers) : isHost6(view, ip, at, tables.peers)) === 1
    ? FORWARD
    : SPOOFED_SOURCE;
}

/**
 * 1 when the source of an IPv4 packet is the own address of the peer: where nothing masquerades, a node answers pods of
 * other nodes from it, by the tunnel.
 * @hot
 */
function isHost4(view: DataView, ip: number, at: number, peers: Int32Array): number {
  const source = view.getInt32(ip + 12);
  return source !== 0 && source === peers[at + PEER_HOST4]! ? 1 : 0;
}

/** @hot */
function isHost6(view: DataView, ip: number, at: number, peers: Int32Array): number {
  const word = at + PEER_HOST6;
  return view.getInt32(ip + 8) !== 0 &&
    view.getInt32(ip + 8) === peers[word]! &&
    view.getInt32(ip + 12) === peers[word + 1]! &&
    view.getInt32(ip + 16) === peers[word + 2]! &&
    view.getInt32(ip + 20) === peers[word + 3]!
    ? 1
    : 0;
}

/**
 * ARP over Ethernet for IPv4 (RFC 826): the sender's address must be the peer's.
 * @hot
 */
function judgeArp(
  view: DataView,
  arp: number,
  length: number,
  peer: number,
  tables: TableView,
  rules: IngressRules,
): number {
  if (length < 28 || view.getInt32(arp) !== 0x00010800 || view.getUint16(arp + 4) !== 0x0604)
    return INNER_MALFORMED;
  if (rules.strict === 0) return FORWARD;
  return findPrefix4(tables.prefixes4, view.getInt32(arp + 14)) === peer ? FORWARD : SPOOFED_SOURCE;
}
