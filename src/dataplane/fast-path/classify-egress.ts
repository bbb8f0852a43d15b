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
import { PEER_INNER_MTU, PEER_STRIDE } from '../tables/peer-table.ts';
import type { TableView } from '../tables/tables.ts';
import { flowHash, ipVersion, packetBytes, segmentBytes } from './flow.ts';

/** What egress goes by besides the tables. Constant while a worker runs. */
export interface EgressRules {
  /** 1 when frames are Ethernet (vxlan), 0 when they are IP (udp). */
  readonly ethernet: number;
  /** 1 when broadcast and multicast are copied to every peer. */
  readonly flood: number;
  /** Sending sockets with DF; flows spread over them. The socket behind them lets routers fragment. */
  readonly flowSockets: number;
}

/**
 * Judges what the device handed over: a verdict for each frame and, for those that go on, peer and socket.
 * @returns how many frames are no plain FORWARD
 * @hot
 */
export function judgeEgress(batch: Batch, count: number, tables: TableView, rules: EgressRules): number {
  const table = batch.table;
  const view = batch.view;
  let exceptions = 0;
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
    if (rules.ethernet === 1) {
      l3 = ethernetBytes(view, offset, length);
      announced = l3 > 0 ? ipVersion(view.getUint16(offset + l3 - 2)) : 0;
      if (l3 === 0) verdict = EGRESS_MALFORMED;
      else if ((view.getUint8(offset) & 1) === 1)
        verdict = groupVerdict(view, offset, l3, length, rules.flood);
      else {
        peer = findMac(tables.fdb, view.getUint16(offset), view.getInt32(offset + 2));
        if (peer < 0) verdict = NO_PEER;
      }
    }
    const ip = offset + l3;
    const version = rules.ethernet === 1 ? announced : view.getUint8(ip) >>> 4;
    const isIp = rules.ethernet === 0 || version !== 0;
    const bytes = isIp && verdict !== EGRESS_MALFORMED ? packetBytes(view, ip, length - l3, version) : 0;
    if (bytes < 0) verdict = EGRESS_MALFORMED;
    else if (rules.ethernet === 0) {
      peer = routePeer(view, ip, tables);
      if (peer < 0)
        verdict = isGroupAddress(view, ip) === 0 ? NO_PEER : rules.flood === 1 ? FLOOD : MULTICAST;
    }
    if (bytes > 0) table[at + DESC_FLOW] = flowHash(view, ip, bytes);
    let socket = table[at + DESC_FLOW]! % rules.flowSockets;
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
      const tags = l3 > 14 ? l3 - 14 : 0; // VLAN tags take their bytes from the packet's room
      if (size + tags > tables.peers[peer * PEER_STRIDE + PEER_INNER_MTU]!) {
        if (mayFragment(view, ip, size) === 1) socket = rules.flowSockets;
        else verdict = TOO_BIG;
      }
    }
    table[at + DESC_L3] = l3;
    table[at + DESC_PEER] = peer;
    table[at + DESC_SOCKET] = socket;
    table[at + DESC_VERDICT] = verdict;
    if (verdict !== FORWARD) exceptions++;
  }
  return exceptions;
}

/**
 * Bytes of the Ethernet header with at most two VLAN tags (IEEE 802.1Q, 802.1ad), 0 when the frame is too short.
 * @hot
 */
function ethernetBytes(view: DataView, offset: number, length: number): number {
  let bytes = 14;
  while (length >= bytes && bytes <= 18) {
    const type = view.getUint16(offset + bytes - 2);
    if (type !== 0x8100 && type !== 0x88a8) break;
    bytes += 4;
  }
  return length >= bytes ? bytes : 0;
}

/**
 * A frame to a group MAC: ARP and neighbour solicitations are answered here, the rest is copied to all or dropped.
 * @hot
 */
function groupVerdict(view: DataView, offset: number, l3: number, length: number, flood: number): number {
  const type = view.getUint16(offset + l3 - 2);
  if (type === 0x0806) return PUNT;
  const ip = offset + l3;
  if (type === 0x86dd && length >= l3 + 41 && view.getUint8(ip + 6) === 58 && view.getUint8(ip + 40) === 135)
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
 * Whether the datagram around an IP packet of `size` bytes may be cut on its way: around IPv4 without DF (RFC 791), and
 * around what every IPv6 link must take whole (RFC 8200 section 5), which its sender could not make smaller.
 * @hot
 */
function mayFragment(view: DataView, ip: number, size: number): number {
  if (view.getUint8(ip) >>> 4 === 6) return size <= 1280 ? 1 : 0;
  return (view.getUint8(ip + 6) & 0x40) === 0 ? 1 : 0;
}
