import { trafficClass } from '../../../encap/ecn.ts';
import {
  BYTES as ETHERNET_BYTES,
  TYPE_ARP,
  TYPE_IPV6,
  TYPE_SERVICE_VLAN,
  TYPE_VLAN,
} from '../../../encap/wire/ethernet.ts';
import { NEIGHBOUR_SOLICITATION } from '../../../encap/wire/icmpv6.ts';
import { BYTES as IPV6_BYTES, MIN_MTU as IPV6_MIN_MTU, NEXT_ICMPV6 } from '../../../encap/wire/ipv6.ts';
import { MAX_TAGS, BYTES as TAG_BYTES } from '../../../encap/wire/vlan.ts';
import type { Batch } from '../descriptor/descriptor.ts';
import {
  DESC_CSUM_START,
  DESC_FLOW,
  DESC_GSO_SIZE,
  DESC_L3,
  DESC_LENGTH,
  DESC_OFFLOAD,
  DESC_OFFSET,
  DESC_PEER,
  DESC_SOCKET,
  DESC_STRIDE,
  DESC_VERDICT,
  SOCKET_CLASS_SHIFT,
  SOCKET_MASK,
} from '../descriptor/descriptor.ts';
import {
  EGRESS_MALFORMED,
  FLOOD,
  FORWARD,
  MULTICAST,
  NO_PEER,
  PUNT,
  TOO_BIG,
} from '../descriptor/verdicts.ts';
import { findMac } from '../tables/fdb.ts';
import { findPrefix4, findPrefix6 } from '../tables/lpm.ts';
import { PEER_CLASS_MASK, PEER_INNER_MTU, PEER_STRIDE } from '../tables/peer-table.ts';
import type { TableView } from '../tables/tables.ts';
import { flowHash, ipVersion, packetBytes, segmentBytes } from './flow.ts';

/** Bytes of an Ethernet header with the most tags. */
const L3_MAX = ETHERNET_BYTES + MAX_TAGS * TAG_BYTES;
/** The flag DF in byte 6 of an IPv4 header. */
const DONT_FRAGMENT = 0x40;

/** Configuration of the classification besides the tables. Constant while a worker runs. */
export interface EgressConfig {
  /** 1 when frames are Ethernet (vxlan), 0 when they are IP (udp). */
  readonly ethernet: number;
  /** 1 when broadcast and multicast are copied to every peer. */
  readonly flood: number;
  /** Sending sockets with DF; flows spread over them. The socket behind them lets routers fragment. */
  readonly flowSockets: number;
}

/**
 * Gives each frame from the device a verdict and, where it is forwarded, peer and socket.
 * @returns how many frames have another verdict than FORWARD
 * @hot
 */
export function classifyEgress(batch: Batch, count: number, tables: TableView, config: EgressConfig): number {
  const table = batch.table;
  const view = batch.view;
  let unusual = 0;
  for (let i = 0; i < count; i++) {
    const at = i * DESC_STRIDE;
    const offset = table[at + DESC_OFFSET]!;
    const length = table[at + DESC_LENGTH]!;
    table[at + DESC_PEER] = -1;
    table[at + DESC_FLOW] = 0;
    let verdict = FORWARD;
    let l3 = 0;
    let announced = 0;
    let peer = -1;
    if (config.ethernet === 1) {
      l3 = ethernetBytes(view, offset, length);
      announced = l3 > 0 ? ipVersion(view.getUint16(offset + l3 - 2)) : 0;
      if (l3 === 0) verdict = EGRESS_MALFORMED;
      else if ((view.getUint8(offset) & 1) === 1)
        verdict = groupVerdict(view, offset, l3, length, config.flood);
      else {
        peer = findMac(tables.fdb, view.getUint16(offset), view.getInt32(offset + 2));
        if (peer < 0) verdict = NO_PEER;
      }
    }
    const ip = offset + l3;
    const version = config.ethernet === 1 ? announced : view.getUint8(ip) >>> 4;
    const isIp = config.ethernet === 0 || version !== 0;
    const bytes = isIp && verdict !== EGRESS_MALFORMED ? packetBytes(view, ip, length - l3, version) : 0;
    if (bytes < 0) verdict = EGRESS_MALFORMED;
    else if (config.ethernet === 0) {
      peer = routePeer(view, ip, tables);
      if (peer < 0)
        verdict = isGroupAddress(view, ip) === 0 ? NO_PEER : config.flood === 1 ? FLOOD : MULTICAST;
    }
    if (bytes > 0) table[at + DESC_FLOW] = flowHash(view, ip, bytes);
    let socket = table[at + DESC_FLOW]! % config.flowSockets;
    if (verdict === FORWARD && bytes > 0) {
      const gsoType = (table[at + DESC_OFFLOAD]! >>> 8) & 0x7f;
      const size =
        gsoType === 0
          ? bytes
          : segmentBytes(
              view,
              ip,
              offset + table[at + DESC_CSUM_START]!,
              bytes,
              gsoType,
              table[at + DESC_GSO_SIZE]!,
            );
      const tags = l3 > ETHERNET_BYTES ? l3 - ETHERNET_BYTES : 0; // VLAN tags count against the MTU
      if (size + tags > tables.peers[peer * PEER_STRIDE + PEER_INNER_MTU]!) {
        if (mayFragment(view, ip, size) === 1) socket = config.flowSockets;
        else verdict = TOO_BIG;
      }
    }
    if (bytes > 0) {
      // Of a frame that is copied to many peers, each copy gets the bits that its peer takes.
      const taken = peer < 0 ? SOCKET_MASK : tables.peers[peer * PEER_STRIDE + PEER_CLASS_MASK]!;
      socket |= (trafficClass(view, ip) & taken) << SOCKET_CLASS_SHIFT;
    }
    table[at + DESC_L3] = l3;
    table[at + DESC_PEER] = peer;
    table[at + DESC_SOCKET] = socket;
    table[at + DESC_VERDICT] = verdict;
    if (verdict !== FORWARD) unusual++;
  }
  return unusual;
}

/**
 * Bytes of the Ethernet header with at most two VLAN tags (IEEE 802.1Q, 802.1ad), 0 when the frame is too short.
 * @hot
 */
function ethernetBytes(view: DataView, offset: number, length: number): number {
  let bytes = ETHERNET_BYTES;
  while (length >= bytes && bytes < L3_MAX) {
    const type = view.getUint16(offset + bytes - 2);
    if (type !== TYPE_VLAN && type !== TYPE_SERVICE_VLAN) break;
    bytes += TAG_BYTES;
  }
  return length >= bytes ? bytes : 0;
}

/**
 * The verdict of a frame to a group MAC: ARP and neighbour solicitations are answered locally, others replicated or dropped.
 * @hot
 */
function groupVerdict(view: DataView, offset: number, l3: number, length: number, flood: number): number {
  const type = view.getUint16(offset + l3 - 2);
  if (type === TYPE_ARP) return PUNT;
  const ip = offset + l3;
  if (
    type === TYPE_IPV6 &&
    length > l3 + IPV6_BYTES &&
    view.getUint8(ip + 6) === NEXT_ICMPV6 &&
    view.getUint8(ip + IPV6_BYTES) === NEIGHBOUR_SOLICITATION
  )
    return PUNT;
  return flood === 1 ? FLOOD : MULTICAST;
}

/** @hot */
function routePeer(view: DataView, ip: number, tables: TableView): number {
  if (view.getUint8(ip) >>> 4 === 4) return findPrefix4(tables.prefixes4, view.getInt32(ip + 16));
  return findPrefix6(
    tables.prefixes6,
    view.getInt32(ip + 24),
    view.getInt32(ip + 28),
    view.getInt32(ip + 32),
    view.getInt32(ip + 36),
  );
}

/** @hot */
function isGroupAddress(view: DataView, ip: number): number {
  if (view.getUint8(ip) >>> 4 === 6) return view.getUint8(ip + 24) === 0xff ? 1 : 0;
  const first = view.getUint8(ip + 16);
  return (first >= 224 && first < 240) || view.getInt32(ip + 16) === -1 ? 1 : 0;
}

/**
 * 1 when the datagram around an IP packet of `size` bytes may be fragmented: for IPv4 without DF (RFC 791), and for IPv6 up
 * to the minimum MTU (RFC 8200 section 5), which the sender could not make smaller.
 * @hot
 */
function mayFragment(view: DataView, ip: number, size: number): number {
  if (view.getUint8(ip) >>> 4 === 6) return size <= IPV6_MIN_MTU ? 1 : 0;
  return (view.getUint8(ip + 6) & DONT_FRAGMENT) === 0 ? 1 : 0;
}
