import type { ErrorCode } from '../../base/errors.ts';
import { addressBytes, type Family } from '../../ip/address.ts';
import {
  addressText,
  familyNumber,
  familyNumberOf,
  familyOf,
  networkBytes,
  type PrefixBytes,
  prefixText,
} from '../address-bytes.ts';
import { malformedMessage } from '../error.ts';
import {
  type Attributes,
  headerU8,
  headerU16,
  headerU32,
  readAttributes,
  readNested,
  readU32,
} from './attributes.ts';
import {
  type Message,
  MessageWriter,
  NLM_F_APPEND,
  NLM_F_CREATE,
  NLM_F_EXCL,
  NLM_F_REPLACE,
} from './message.ts';
import type { NetlinkSocket } from './socket.ts';

export const RTM_NEWROUTE = 24;
export const RTM_DELROUTE = 25;
const RTM_GETROUTE = 26;
/** struct rtmsg: u8 family, destination and source length, tos, table, protocol, scope, type, u32 flags. */
const ROUTE_HEADER = 12;
/** struct rtnexthop: u16 length, u8 flags, u8 weight - 1, i32 link. */
const HOP_HEADER = 8;
const RTA_DST = 1;
const RTA_SRC = 2;
const RTA_IIF = 3;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_PRIORITY = 6;
const RTA_PREFSRC = 7;
const RTA_METRICS = 8;
const RTA_MULTIPATH = 9;
const RTA_TABLE = 15;
const RTA_VIA = 18;
const RTAX_MTU = 2;
const RTAX_ADVMSS = 8;
const RTAX_HOPLIMIT = 10;
const RTNH_F_ONLINK = 4;
const RTM_F_CLONED = 0x200;
const RTM_F_FIB_MATCH = 0x2000;
/** Fits struct rtmsg's 8 bits; larger table numbers travel in RTA_TABLE alone. */
const RT_TABLE_COMPAT = 252;

export const TABLE_MAIN = 254;
export const SCOPE_UNIVERSE = 0;
export const SCOPE_LINK = 253;
export const SCOPE_HOST = 254;
const PROTOCOL_BOOT = 3;
const ROUTE_TYPES = [
  'unspec',
  'unicast',
  'local',
  'broadcast',
  'anycast',
  'multicast',
  'blackhole',
  'unreachable',
  'prohibit',
  'throw',
] as const;
type RouteType = (typeof ROUTE_TYPES)[number];

interface NextHop {
  readonly link?: number | undefined;
  readonly gateway?: string | undefined;
  /** The gateway is on the link though no address says so. */
  readonly onlink?: boolean;
  /** 1..256. */
  readonly weight?: number;
}

/** One route as the kernel reports it. */
export interface Route {
  readonly family: Family;
  /** `network/length`; `0.0.0.0/0` and `::/0` are the default routes. */
  readonly destination: string;
  readonly gateway: string | undefined;
  /** Link index; undefined for a blackhole and for several next hops. */
  readonly link: number | undefined;
  readonly source: string | undefined;
  readonly metric: number;
  readonly table: number;
  readonly protocol: number;
  readonly scope: number;
  readonly type: RouteType;
  readonly onlink: boolean;
  /** Bytes. */
  readonly mtu: number | undefined;
  readonly advmss: number | undefined;
  /** TTL or hop limit, where the route sets one. */
  readonly hopLimit: number | undefined;
  /** Present when there are several. */
  readonly hops: readonly NextHop[] | undefined;
}

/** A route to be made or removed. What is absent is the kernel's default (main table, protocol boot). */
export interface RouteSpec {
  destination: string;
  gateway?: string | undefined;
  link?: number | undefined;
  source?: string | undefined;
  metric?: number | undefined;
  table?: number | undefined;
  protocol?: number | undefined;
  scope?: number | undefined;
  type?: RouteType | undefined;
  onlink?: boolean | undefined;
  mtu?: number | undefined;
  advmss?: number | undefined;
  hops?: readonly NextHop[] | undefined;
}

export function readRoute(message: Message): Route {
  const { payload } = message;
  const family = familyOf(headerU8(payload, 0));
  const flags = headerU32(payload, 8);
  const all = readAttributes(payload, ROUTE_HEADER);
  const source = all.get(RTA_PREFSRC);
  const metrics = readNested(all, RTA_METRICS);
  const hops = all.get(RTA_MULTIPATH);
  return {
    family,
    destination: prefixText(all.get(RTA_DST) ?? new Uint8Array(family === 6 ? 16 : 4), headerU8(payload, 1)),
    gateway: gatewayOf(all),
    link: readU32(all, RTA_OIF),
    source: source && addressText(source),
    metric: readU32(all, RTA_PRIORITY) ?? 0,
    table: readU32(all, RTA_TABLE) ?? headerU8(payload, 4),
    protocol: headerU8(payload, 5),
    scope: headerU8(payload, 6),
    type: ROUTE_TYPES[headerU8(payload, 7)] ?? 'unspec',
    onlink: (flags & RTNH_F_ONLINK) !== 0,
    mtu: readU32(metrics, RTAX_MTU),
    advmss: readU32(metrics, RTAX_ADVMSS),
    hopLimit: readU32(metrics, RTAX_HOPLIMIT),
    hops: hops && readHops(hops),
  };
}

/** The gateway, which may be of the other family than the route (RTA_VIA: u16 family, address). */
function gatewayOf(all: Attributes): string | undefined {
  const gateway = all.get(RTA_GATEWAY);
  if (gateway) return addressText(gateway);
  const via = all.get(RTA_VIA);
  return via && (via.length === 6 || via.length === 18) ? addressText(via.subarray(2)) : undefined;
}

function readHops(bytes: Uint8Array): NextHop[] {
  const hops: NextHop[] = [];
  let at = 0;
  while (at + HOP_HEADER <= bytes.length) {
    const length = headerU16(bytes, at);
    if (length < HOP_HEADER || at + length > bytes.length)
      throw malformedMessage(`next hop at byte ${at} claims ${length} bytes`);
    const hop = bytes.subarray(at, at + length);
    hops.push({
      link: headerU32(hop, 4),
      gateway: gatewayOf(readAttributes(hop, HOP_HEADER)),
      onlink: (headerU8(hop, 2) & RTNH_F_ONLINK) !== 0,
      weight: headerU8(hop, 3) + 1,
    });
    at += (length + 3) & ~3;
  }
  return hops;
}

/** Routes of all tables (IPv6 cache entries left out), or those that the filter names. */
export function listRoutes(
  socket: NetlinkSocket,
  filter: { family?: Family; table?: number; link?: number } = {},
): Route[] {
  const family = familyNumber(filter.family);
  const writer = new MessageWriter(RTM_GETROUTE, 0, 'list routes').u8(family).bytes(new Uint8Array(11));
  return socket
    .list(writer, RTM_NEWROUTE, readRoute, message => (headerU32(message.payload, 8) & RTM_F_CLONED) === 0)
    .filter(route => filter.table === undefined || route.table === filter.table)
    .filter(route => filter.link === undefined || usesLink(route, filter.link));
}

function usesLink(route: Route, link: number): boolean {
  return route.link === link || (route.hops?.some(hop => hop.link === link) ?? false);
}

/** A packet that comes from elsewhere: its source address and the link that it comes in by. */
export interface InputInterface {
  readonly source: string;
  readonly link: number;
}

/**
 * The way that a packet to `address` takes from this namespace: gateway, link and source address. With `arrival` the
 * packet is one to be forwarded, and what the kernel checks of such is checked: reverse path, forwarding.
 * @throws NetError ENETUNREACH, EHOSTUNREACH when there is none; EXDEV, EINVAL when the arrival is refused
 */
export function routeTo(socket: NetlinkSocket, address: string, arrival?: InputInterface): Route {
  const bytes = addressBytes(address);
  const source = arrival && addressBytes(arrival.source);
  const writer = new MessageWriter(RTM_GETROUTE, 0, `look up the route to ${address}`)
    .u8(familyNumberOf(bytes))
    .u8(bytes.length * 8)
    .u8(source ? source.length * 8 : 0)
    .bytes(new Uint8Array(9))
    .attribute(RTA_DST, bytes);
  if (arrival && source) writer.attribute(RTA_SRC, source).attributeU32(RTA_IIF, arrival.link);
  return firstRoute(socket, writer, address);
}

/**
 * The configured route that packets to `address` take, without what ICMP reported since (Linux 4.13; before, as `routeTo`).
 * @throws NetError ENETUNREACH, EHOSTUNREACH when there is none
 */
export function configuredRouteTo(socket: NetlinkSocket, address: string): Route {
  const bytes = addressBytes(address);
  const writer = new MessageWriter(RTM_GETROUTE, 0, `look up the configured route to ${address}`)
    .u8(familyNumberOf(bytes))
    .u8(bytes.length * 8)
    .bytes(new Uint8Array(6))
    .u32(RTM_F_FIB_MATCH)
    .attribute(RTA_DST, bytes);
  return firstRoute(socket, writer, address);
}

function firstRoute(socket: NetlinkSocket, writer: MessageWriter, address: string): Route {
  const found = socket.get(writer).find(message => message.type === RTM_NEWROUTE);
  if (!found) throw malformedMessage(`no route in the answer for ${address}`);
  return readRoute(found);
}

function routeMessage(type: number, flags: number, verb: string, spec: RouteSpec): MessageWriter {
  const destination = networkBytes(spec.destination);
  const table = spec.table ?? TABLE_MAIN;
  const deleting = type === RTM_DELROUTE;
  const kind = spec.type ?? (deleting ? 'unspec' : 'unicast');
  const absent: readonly ErrorCode[] = deleting ? ['ESRCH', 'ENOENT', 'ENODEV'] : [];
  const writer = new MessageWriter(type, flags, `${verb} route ${describeRoute(spec)}`, absent)
    .u8(familyNumber(destination.family))
    .u8(destination.length)
    .u8(0)
    .u8(0)
    .u8(table < 256 ? table : RT_TABLE_COMPAT)
    .u8(spec.protocol ?? (deleting ? 0 : PROTOCOL_BOOT))
    .u8(spec.scope ?? defaultScope(spec, destination, deleting))
    .u8(ROUTE_TYPES.indexOf(kind))
    .u32(spec.onlink ? RTNH_F_ONLINK : 0);
  writer.attribute(RTA_DST, destination.address).attributeU32(RTA_TABLE, table);
  if (spec.link !== undefined) writer.attributeU32(RTA_OIF, spec.link);
  if (spec.gateway !== undefined) writeGateway(writer, spec.gateway, destination);
  if (spec.source !== undefined) writer.attribute(RTA_PREFSRC, addressBytes(spec.source));
  if (spec.metric !== undefined) writer.attributeU32(RTA_PRIORITY, spec.metric);
  if (spec.mtu !== undefined || spec.advmss !== undefined) {
    writer.nested(RTA_METRICS, metrics => {
      if (spec.mtu !== undefined) metrics.attributeU32(RTAX_MTU, spec.mtu);
      if (spec.advmss !== undefined) metrics.attributeU32(RTAX_ADVMSS, spec.advmss);
    });
  }
  if (spec.hops) writeHops(writer, spec.hops, destination);
  return writer;
}

/** As `ip route` does: a unicast IPv4 route without a gateway reaches its destination on the link. */
function defaultScope(spec: RouteSpec, destination: PrefixBytes, deleting: boolean): number {
  if (deleting) return 255; // RT_SCOPE_NOWHERE: any
  const direct = (spec.type ?? 'unicast') === 'unicast' && spec.gateway === undefined && !spec.hops;
  return direct && destination.address.length === 4 ? SCOPE_LINK : SCOPE_UNIVERSE;
}

function writeGateway(writer: MessageWriter, gateway: string, destination: PrefixBytes): void {
  const bytes = addressBytes(gateway);
  if (bytes.length === destination.address.length) {
    writer.attribute(RTA_GATEWAY, bytes);
    return;
  }
  const via = new Uint8Array(2 + bytes.length);
  new Uint16Array(via.buffer, 0, 1)[0] = familyNumberOf(bytes);
  via.set(bytes, 2);
  writer.attribute(RTA_VIA, via);
}

function writeHops(writer: MessageWriter, hops: readonly NextHop[], destination: PrefixBytes): void {
  writer.nested(RTA_MULTIPATH, list => {
    for (const hop of hops) {
      const start = list.length;
      list
        .u16(0)
        .u8(hop.onlink ? RTNH_F_ONLINK : 0)
        .u8((hop.weight ?? 1) - 1)
        .u32(hop.link ?? 0);
      if (hop.gateway !== undefined) writeGateway(list, hop.gateway, destination);
      list.patchLength(start);
    }
  });
}

/** A route in the words of `ip route`, links by index. */
function describeRoute(spec: RouteSpec): string {
  const words = [spec.destination];
  if (spec.type && spec.type !== 'unicast') words.unshift(spec.type);
  if (spec.gateway) words.push('via', spec.gateway);
  if (spec.link !== undefined) words.push('dev', String(spec.link));
  if (spec.onlink) words.push('onlink');
  if (spec.table !== undefined && spec.table !== TABLE_MAIN) words.push('table', String(spec.table));
  if (spec.metric) words.push('metric', String(spec.metric));
  return words.join(' ');
}

/** The request of `addRoute`, for `requestAll`. */
export function addRouteRequest(spec: RouteSpec): MessageWriter {
  return routeMessage(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, 'add', spec);
}

/** The request of `replaceRoute`. */
export function replaceRouteRequest(spec: RouteSpec): MessageWriter {
  return routeMessage(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, 'set', spec);
}

/** The request of `deleteRoute`. */
export function deleteRouteRequest(spec: RouteSpec): MessageWriter {
  return routeMessage(RTM_DELROUTE, 0, 'delete', spec);
}

/** Adds a route. @throws NetError EEXIST when one for this destination, table and metric is there */
export function addRoute(socket: NetlinkSocket, spec: RouteSpec): void {
  socket.request(addRouteRequest(spec));
}

/** Adds a route or puts it in the place of the one with the same destination, table and metric. @throws NetError */
export function replaceRoute(socket: NetlinkSocket, spec: RouteSpec): void {
  socket.request(replaceRouteRequest(spec));
}

/** Adds a route next to one with the same destination (IPv6: as a further next hop). @throws NetError */
export function appendRoute(socket: NetlinkSocket, spec: RouteSpec): void {
  socket.request(routeMessage(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_APPEND, 'append', spec));
}

/** Removes the route that matches all that `spec` names; true when it was there. @throws NetError otherwise */
export function deleteRoute(socket: NetlinkSocket, spec: RouteSpec): boolean {
  return socket.request(deleteRouteRequest(spec));
}
