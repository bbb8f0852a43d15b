import { decapsulate, ECN_MASK, ILLEGAL } from '../../../encap/ecn.ts';
import * as wire from '../../../encap/encap.ts';
import { check as checkUdp } from '../../../encap/udp.ts';
import { check as checkVxlan, HEADER_BYTES as VXLAN_BYTES } from '../../../encap/vxlan.ts';
import { BYTES as ARP_BYTES } from '../../../encap/wire/arp.ts';
import {
  BYTES as ETHERNET_BYTES,
  TYPE_ARP,
  TYPE_SERVICE_VLAN,
  TYPE_VLAN,
} from '../../../encap/wire/ethernet.ts';
import { PROTOCOL_TCP } from '../../../encap/wire/ipv4.ts';
import { BYTES as IPV6_BYTES } from '../../../encap/wire/ipv6.ts';
import { MAX_TAGS, BYTES as TAG_BYTES } from '../../../encap/wire/vlan.ts';
import { NEEDS_CHECKSUM } from '../../../encap/wire/vnet-hdr.ts';
import type { Batch } from '../descriptor/descriptor.ts';
import {
  DESC_ARRIVED_ECN,
  DESC_CSUM_OFFSET,
  DESC_CSUM_START,
  DESC_GSO_SIZE,
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
  FLOW_INFO_CLASS_SHIFT,
  SOURCE_FLOW_INFO,
  SOURCE_STRIDE,
  SOURCE_TRUNCATED,
} from '../descriptor/source.ts';
import {
  BAD_ECN,
  BAD_FLAGS,
  FORWARD,
  INNER_MALFORMED,
  MULTICAST,
  NOT_FOR_US,
  OFFLOAD_PROOF,
  OVERSIZED,
  RUNT,
  SPOOFED_SOURCE,
  TRUNCATED,
  UNKNOWN_PEER,
} from '../descriptor/verdicts.ts';
import { findPrefix4, findPrefix6 } from '../tables/lpm.ts';
import { PEER_HOST4, PEER_HOST6, PEER_REMOTE_CHECKSUM, PEER_STRIDE } from '../tables/peer-table.ts';
import { findPeerBySource } from '../tables/source-table.ts';
import type { TableView } from '../tables/tables.ts';
import { announcesMacOfPeer } from './announced-mac.ts';
import { ipVersion, packetBytes } from './flow.ts';
import { isForUs4, isForUs6, type OwnRange } from './own-range.ts';
import { isMacOfPeer } from './peer-mac.ts';
import { isProofMessage } from './proof-messages.ts';

/** Bit of the first two bytes of a MAC that marks a group. */
const GROUP_BIT = 0x0100;
/** Bytes of an Ethernet header with the most tags. */
const L3_MAX = ETHERNET_BYTES + MAX_TAGS * TAG_BYTES;
/** First word of a VXLAN header with the flags I and RCO (include/net/vxlan.h of the kernel, VXLAN_HF_RCO). */
const REMOTE_CHECKSUM_WORD = 0x08200000;
/** Bit of the last header byte: the checksum is that of UDP. The other bits are its start in units of two. */
const REMOTE_CHECKSUM_UDP = 0x80;
/** Offset of the checksum in the header of UDP and TCP. */
const UDP_CHECKSUM = 6;
const TCP_CHECKSUM = 16;
/** Bytes of the headers of a UDP packet, by IP version. */
const UDP_HEADERS = [0, 0, 0, 0, 28, 0, 48];
/** First words of an ARP packet for IPv4 over Ethernet: types of hardware and protocol, lengths of their addresses. */
const ARP_ETHERNET_IPV4 = 0x00010800;
const ARP_LENGTHS = 0x0604;
/** Offset of the sender's MAC in ARP over Ethernet (RFC 826). */
const ARP_SENDER = 8;

/** Verdict of a fault that `check` of the encapsulation returned: the two have the same order. */
const WIRE_FAULT = RUNT - wire.RUNT;

/** Configuration of the classification besides the tables. Constant while a worker runs. */
export interface IngressConfig {
  /** 1 when frames are Ethernet (vxlan), 0 when they are IP (udp). */
  readonly ethernet: number;
  readonly vni: number;
  /** MAC of this node's VTEP: first two bytes, last four as a signed int32. */
  readonly macHi16: number;
  readonly macLo32: number;
  /** 1 when frames to broadcast and multicast MACs pass. */
  readonly flood: number;
  /** 1 when the inner source must belong to the peer that sent it. */
  readonly sourceCheck: number;
  /** With `sourceCheck`, packets to other addresses are dropped, so that no peer uses this node as a relay. */
  readonly own: OwnRange;
  /** Bytes of the largest inner IP packet. */
  readonly mtu: number;
  /** 1 when a TCP or UDP packet above the MTU may be a whole GSO packet of a kernel peer on this host. */
  readonly gsoPackets: number;
}

/**
 * Gives each received datagram a verdict and moves DESC_OFFSET and DESC_LENGTH to the frame inside.
 * @returns how many have another verdict than FORWARD
 * @hot
 */
export function classifyIngress(
  batch: Batch,
  count: number,
  sources: Int32Array,
  tables: TableView,
  config: IngressConfig,
): number {
  const table = batch.table;
  const view = batch.view;
  let dropped = 0;
  let message = -1;
  let peer = -1;
  // What all datagrams of a message share: its source is looked up once.
  let refusal = FORWARD;
  let outerEcn = 0;
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
      if (sources[source + SOURCE_TRUNCATED] === 1) refusal = TRUNCATED;
      else refusal = peer < 0 ? UNKNOWN_PEER : FORWARD;
      outerEcn = (sources[source + SOURCE_FLOW_INFO]! >>> FLOW_INFO_CLASS_SHIFT) & ECN_MASK;
    }
    table[at + DESC_PEER] = peer;
    table[at + DESC_L3] = 0;
    table[at + DESC_ARRIVED_ECN] = 0;
    let verdict = FORWARD;
    if (refusal !== FORWARD) verdict = refusal;
    else if (config.ethernet === 1) verdict = classifyVxlan(table, at, view, peer, tables, config);
    else
      verdict = classifyUdp(view, table[at + DESC_OFFSET]!, table[at + DESC_LENGTH]!, peer, tables, config);
    if (outerEcn !== 0 && verdict === FORWARD) verdict = takeOverEcn(table, at, view, outerEcn);
    table[at + DESC_VERDICT] = verdict;
    if (verdict !== FORWARD) dropped++;
  }
  return dropped;
}

/**
 * Moves a congestion mark of the outer header into the frame.
 * @hot
 */
function takeOverEcn(table: Int32Array, at: number, view: DataView, outer: number): number {
  const arrived = decapsulate(view, table[at + DESC_OFFSET]! + table[at + DESC_L3]!, outer);
  if (arrived === ILLEGAL) return BAD_ECN;
  table[at + DESC_ARRIVED_ECN] = arrived;
  return FORWARD;
}

/**
 * A datagram of flannel's udp format: a bare IP packet, whose version is its first half byte.
 * @hot
 */
function classifyUdp(
  view: DataView,
  ip: number,
  length: number,
  peer: number,
  tables: TableView,
  config: IngressConfig,
): number {
  if (checkUdp(view, ip, length, 0) !== 0) return RUNT;
  return classifyPacket(view, ip, length, view.getUint8(ip) >>> 4, 0, peer, tables, config);
}

/** @hot */
function classifyVxlan(
  table: Int32Array,
  at: number,
  view: DataView,
  peer: number,
  tables: TableView,
  config: IngressConfig,
): number {
  const datagram = table[at + DESC_OFFSET]!;
  const bytes = table[at + DESC_LENGTH]!;
  const fault =
    tables.peers[peer * PEER_STRIDE + PEER_REMOTE_CHECKSUM] === 1
      ? checkRemoteChecksum(table, at, view, datagram, bytes, config.vni)
      : checkVxlan(view, datagram, bytes, config.vni);
  if (fault !== wire.OK) return WIRE_FAULT + fault;
  const frame = datagram + VXLAN_BYTES;
  const length = bytes - VXLAN_BYTES;
  table[at + DESC_OFFSET] = frame;
  table[at + DESC_LENGTH] = length;
  const high = view.getUint16(frame);
  if ((high & GROUP_BIT) !== 0) {
    if (config.flood === 0) return MULTICAST;
  } else if (high !== config.macHi16 || view.getInt32(frame + 2) !== config.macLo32) return NOT_FOR_US;
  if (config.sourceCheck === 1 && isMacOfPeer(view, frame + 6, peer, tables.peers) === 0)
    return SPOOFED_SOURCE;
  let l3 = ETHERNET_BYTES;
  let type = view.getUint16(frame + l3 - 2);
  while ((type === TYPE_VLAN || type === TYPE_SERVICE_VLAN) && l3 < L3_MAX && length >= l3 + TAG_BYTES) {
    l3 += TAG_BYTES;
    type = view.getUint16(frame + l3 - 2);
  }
  table[at + DESC_L3] = l3;
  const version = ipVersion(type);
  if (version !== 0) {
    const segment = table[at + DESC_GSO_SIZE]!;
    const verdict = classifyPacket(view, frame + l3, length - l3, version, segment, peer, tables, config);
    if (verdict !== FORWARD) return verdict;
    if (
      version === 6 &&
      config.sourceCheck === 1 &&
      announcesMacOfPeer(view, frame + l3, peer, tables.peers) === 0
    )
      return SPOOFED_SOURCE;
    if (table[at + DESC_OFFLOAD] !== NEEDS_CHECKSUM) return FORWARD;
    const start = table[at + DESC_CSUM_START]! - l3;
    return isValidPartialChecksum(view, frame + l3, version, start, start + table[at + DESC_CSUM_OFFSET]!) ===
      1
      ? FORWARD
      : BAD_FLAGS;
  }
  if (table[at + DESC_OFFLOAD] === NEEDS_CHECKSUM) return BAD_FLAGS;
  if (type === TYPE_ARP) return classifyArp(view, frame + l3, length - l3, peer, tables, config);
  return INNER_MALFORMED;
}

/**
 * Checks the VXLAN header of a peer with remote checksum offload (RCO): as `checkVxlan`, but the header may describe a
 * partial inner checksum, which goes to the descriptor.
 * @hot
 */
function checkRemoteChecksum(
  table: Int32Array,
  at: number,
  view: DataView,
  datagram: number,
  bytes: number,
  vni: number,
): number {
  if (bytes < VXLAN_BYTES + ETHERNET_BYTES || view.getInt32(datagram) !== REMOTE_CHECKSUM_WORD)
    return checkVxlan(view, datagram, bytes, vni);
  if (view.getUint32(datagram + 4) >>> 8 !== vni) return wire.WRONG_VNI;
  const where = view.getUint8(datagram + 7);
  const start = (where & ~REMOTE_CHECKSUM_UDP) << 1;
  const offset = (where & REMOTE_CHECKSUM_UDP) !== 0 ? UDP_CHECKSUM : TCP_CHECKSUM;
  if (start + offset + 2 > bytes - VXLAN_BYTES) return wire.BAD_FLAGS;
  table[at + DESC_OFFLOAD] = NEEDS_CHECKSUM;
  table[at + DESC_CSUM_START] = start;
  table[at + DESC_CSUM_OFFSET] = offset;
  return wire.OK;
}

/**
 * 1 when a partial checksum, summed from `start` and written at `field`, both from the IP header, lies behind that header
 * and within its packet. Anything else would let a peer make the kernel rewrite the addresses that were just checked.
 * @hot
 */
function isValidPartialChecksum(
  view: DataView,
  ip: number,
  version: number,
  start: number,
  field: number,
): number {
  if (version === 4) {
    const header = (view.getUint8(ip) & 15) << 2;
    return start === header && field + 2 <= view.getUint16(ip + 2) ? 1 : 0;
  }
  return start >= IPV6_BYTES && field + 2 <= IPV6_BYTES + view.getUint16(ip + 4) ? 1 : 0;
}

/**
 * @param segment payload of one datagram of a UDP GSO packet, 0 for any other packet
 * @hot
 */
function classifyPacket(
  view: DataView,
  ip: number,
  length: number,
  version: number,
  segment: number,
  peer: number,
  tables: TableView,
  config: IngressConfig,
): number {
  const bytes = packetBytes(view, ip, length, version);
  if (bytes < 0) return INNER_MALFORMED;
  const four = version === 4;
  if (bytes > config.mtu) {
    const protocol = four ? view.getUint8(ip + 9) : view.getUint8(ip + 6);
    const isWhole =
      protocol === PROTOCOL_TCP || (segment > 0 && segment + UDP_HEADERS[version]! <= config.mtu);
    if (config.gsoPackets === 0 || !isWhole) return OVERSIZED;
  }
  const accepted = isProofMessage(view, ip, bytes, version) === 1 ? OFFLOAD_PROOF : FORWARD;
  if (config.sourceCheck === 0) return accepted;
  const owner = four
    ? findPrefix4(tables.prefixes4, view.getInt32(ip + 12))
    : findPrefix6(
        tables.prefixes6,
        view.getInt32(ip + 8),
        view.getInt32(ip + 12),
        view.getInt32(ip + 16),
        view.getInt32(ip + 20),
      );
  if (owner !== peer) {
    const at = peer * PEER_STRIDE;
    if ((four ? isHost4(view, ip, at, tables.peers) : isHost6(view, ip, at, tables.peers)) === 0)
      return SPOOFED_SOURCE;
  }
  return (four ? isForUs4(view, ip, config.own) : isForUs6(view, ip, config.own)) === 1
    ? accepted
    : NOT_FOR_US;
}

/**
 * 1 when the source of an IPv4 packet is the peer's own address: without masquerading, a node answers pods of other
 * nodes from it, through the tunnel.
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
 * ARP over Ethernet for IPv4 (RFC 826): the sender's address must be the peer's, and its MAC that of the peer's VTEP.
 * @hot
 */
function classifyArp(
  view: DataView,
  arp: number,
  length: number,
  peer: number,
  tables: TableView,
  config: IngressConfig,
): number {
  if (
    length < ARP_BYTES ||
    view.getInt32(arp) !== ARP_ETHERNET_IPV4 ||
    view.getUint16(arp + 4) !== ARP_LENGTHS
  )
    return INNER_MALFORMED;
  if (config.sourceCheck === 0) return FORWARD;
  if (findPrefix4(tables.prefixes4, view.getInt32(arp + 14)) !== peer) return SPOOFED_SOURCE;
  return isMacOfPeer(view, arp + ARP_SENDER, peer, tables.peers) === 1 ? FORWARD : SPOOFED_SOURCE;
}
