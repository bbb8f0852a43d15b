import { closeSync, openSync } from 'node:fs';
import { constants } from 'node:os';
import { macBytes } from '../../ip/mac.ts';
import { AF_UNSPEC, macText } from '../address-bytes.ts';
import { isNetError, NetError } from '../error.ts';
import { headerU16, headerU32, readAttributes, readNested, readText, readU8, readU32 } from './attributes.ts';
import {
  type KindDetails,
  type KindSpec,
  type LinkSettings,
  readKindDetails,
  writeKindData,
} from './link-kinds.ts';
import { type Message, MessageWriter, NLM_F_CREATE, NLM_F_EXCL } from './message.ts';
import type { NetlinkSocket } from './socket.ts';

export const RTM_NEWLINK = 16;
export const RTM_DELLINK = 17;
export const RTM_GETLINK = 18;
/** Bytes of struct ifinfomsg. */
export const LINK_HEADER = 16;

const IFF_UP = 0x1;
const IFF_RUNNING = 0x40;
const IFF_PROMISC = 0x100;
const IFF_ALLMULTI = 0x200;
const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_LINK = 5;
const IFLA_MASTER = 10;
const IFLA_TXQLEN = 13;
const IFLA_OPERSTATE = 16;
export const IFLA_LINKINFO = 18;
const IFLA_IFALIAS = 20;
const IFLA_NET_NS_FD = 28;
const IFLA_EXT_MASK = 29;
const RTEXT_FILTER_SKIP_STATS = 1 << 3;
export const IFLA_INFO_KIND = 1;
export const IFLA_INFO_DATA = 2;
export const IFLA_INFO_SLAVE_KIND = 4;
export const IFLA_INFO_SLAVE_DATA = 5;
const OPERATIONAL = ['unknown', 'notpresent', 'down', 'lowerlayerdown', 'testing', 'dormant', 'up'] as const;

/** One network device as the kernel reports it. */
export interface Link {
  readonly index: number;
  readonly name: string;
  /** ARPHRD_*: 1 Ethernet, 772 loopback, 65534 none (TUN). */
  readonly type: number;
  /** `veth`, `bridge`, `vxlan`, `tun` ...; undefined for hardware and loopback. */
  readonly kind: string | undefined;
  readonly flags: number;
  /** Set up by configuration. */
  readonly up: boolean;
  /** Up, with carrier. */
  readonly running: boolean;
  readonly operational: (typeof OPERATIONAL)[number];
  readonly mtu: number;
  readonly mac: string | undefined;
  readonly master: number | undefined;
  /** Index of the device beneath, or of a veth's other end, which may be in another namespace. */
  readonly parent: number | undefined;
  readonly txQueueLength: number;
  readonly alias: string | undefined;
  /** What belongs to the kind: a VXLAN's VNI, a bridge's VLAN filtering. */
  readonly details: KindDetails;
}

/** A link to be made: settings, kind, and the index of the device beneath. */
export type LinkSpec = LinkSettings & KindSpec & { name: string; parent?: number };

export function readLink(message: Message): Link {
  const { payload } = message;
  const flags = headerU32(payload, 8);
  const all = readAttributes(payload, LINK_HEADER);
  const info = readNested(all, IFLA_LINKINFO);
  const kind = readText(info, IFLA_INFO_KIND);
  const mac = all.get(IFLA_ADDRESS);
  return {
    index: headerU32(payload, 4),
    name: readText(all, IFLA_IFNAME) ?? '',
    type: headerU16(payload, 2),
    kind,
    flags,
    up: (flags & IFF_UP) !== 0,
    running: (flags & IFF_RUNNING) !== 0,
    operational: OPERATIONAL[readU8(all, IFLA_OPERSTATE) ?? 0] ?? 'unknown',
    mtu: readU32(all, IFLA_MTU) ?? 0,
    mac: mac && mac.length === 6 ? macText(mac) : undefined,
    master: readU32(all, IFLA_MASTER),
    parent: readU32(all, IFLA_LINK),
    txQueueLength: readU32(all, IFLA_TXQLEN) ?? 0,
    alias: readText(all, IFLA_IFALIAS),
    details: readKindDetails(kind, readNested(info, IFLA_INFO_DATA)),
  };
}

/** Writes struct ifinfomsg: u8 family, pad, u16 type, i32 index, u32 flags, u32 change. */
export function linkHeader(
  writer: MessageWriter,
  index: number,
  { family = AF_UNSPEC, flags = 0, change = 0 } = {},
): MessageWriter {
  return writer.u8(family).u8(0).u16(0).u32(index).u32(flags).u32(change);
}

/** All links of the namespace, by index. */
export function listLinks(socket: NetlinkSocket): Link[] {
  return socket.list(listRequest(), RTM_NEWLINK, readLink);
}

/** The links whose alias contains `part`, which is not empty. Of others no attribute is read: a node has one per pod. */
export function listLinksByAlias(socket: NetlinkSocket, part: string): Link[] {
  const isCandidate = ({ payload }: Message) =>
    Buffer.from(payload.buffer, payload.byteOffset, payload.length).includes(part);
  const candidates = socket.list(listRequest(), RTM_NEWLINK, readLink, isCandidate);
  return candidates.filter(link => link.alias?.includes(part));
}

/** Without the counters of each link, which the kernel would sum up over its processors. */
function listRequest(): MessageWriter {
  const writer = linkHeader(new MessageWriter(RTM_GETLINK, 0, 'list links'), 0);
  return writer.attributeU32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
}

/** The link with this name or index, undefined when there is none. */
export function findLink(socket: NetlinkSocket, nameOrIndex: string | number): Link | undefined {
  const byIndex = typeof nameOrIndex === 'number';
  const writer = linkHeader(
    new MessageWriter(RTM_GETLINK, 0, `look up link ${nameOrIndex}`),
    byIndex ? nameOrIndex : 0,
  );
  if (!byIndex) writer.attributeText(IFLA_IFNAME, checkName(nameOrIndex));
  try {
    const found = socket.get(writer).find(message => message.type === RTM_NEWLINK);
    return found && readLink(found);
  } catch (error) {
    if (isNetError(error, 'ENODEV')) return undefined;
    throw error;
  }
}

/** The link with this name or index. @throws NetError ENODEV */
export function getLink(socket: NetlinkSocket, nameOrIndex: string | number): Link {
  const link = findLink(socket, nameOrIndex);
  if (link) return link;
  const place = socket.netns ? `in ${socket.netns}` : 'here';
  throw new NetError(constants.errno.ENODEV, `link ${nameOrIndex}`, `there is no such device ${place}`);
}

/** True for what the kernel takes as a device name: 1..15 bytes, not `.` or `..`, no slash, colon or blank. */
export function isLinkName(name: string): boolean {
  return /^[^\s/:\0]+$/.test(name) && name !== '.' && name !== '..' && Buffer.byteLength(name) <= 15;
}

function checkName(name: string): string {
  if (isLinkName(name)) return name;
  throw new NetError(
    constants.errno.EINVAL,
    `device name ${JSON.stringify(name)}`,
    'is not 1 to 15 bytes without slash, colon or blank',
  );
}

/** Writes the attributes of `settings`; a namespace is opened and its descriptor pushed to `open`. */
function writeSettings(writer: MessageWriter, settings: LinkSettings, open: number[]): void {
  if (settings.name !== undefined) writer.attributeText(IFLA_IFNAME, checkName(settings.name));
  if (settings.mtu !== undefined) writer.attributeU32(IFLA_MTU, settings.mtu);
  if (settings.mac !== undefined) writer.attribute(IFLA_ADDRESS, macBytes(settings.mac));
  if (settings.master !== undefined) writer.attributeU32(IFLA_MASTER, settings.master);
  if (settings.txQueueLength !== undefined) writer.attributeU32(IFLA_TXQLEN, settings.txQueueLength);
  if (settings.alias !== undefined) writer.attribute(IFLA_IFALIAS, new TextEncoder().encode(settings.alias));
  if (settings.netns !== undefined) writer.attributeU32(IFLA_NET_NS_FD, openNamespace(settings.netns, open));
}

function openNamespace(path: string, open: number[]): number {
  try {
    const fd = openSync(path, 'r');
    open.push(fd);
    return fd;
  } catch (error) {
    throw new NetError((error as { errno: number }).errno * -1, `network namespace ${path}`);
  }
}

/** IFF_* bits and their mask that `settings` ask for. */
function flagChange({ up, promiscuous, allMulticast }: LinkSettings): { flags: number; change: number } {
  let flags = 0;
  let change = 0;
  for (const [wanted, bit] of [
    [up, IFF_UP],
    [promiscuous, IFF_PROMISC],
    [allMulticast, IFF_ALLMULTI],
  ] as const) {
    if (wanted !== undefined) change |= bit;
    if (wanted) flags |= bit;
  }
  return { flags, change };
}

/** Runs `action` with a list of descriptors to close afterwards. */
function closingAfter(action: (open: number[]) => void): void {
  const open: number[] = [];
  try {
    action(open);
  } finally {
    for (const fd of open) closeSync(fd);
  }
}

/**
 * Makes a link. With `netns` it is made in that namespace; a veth's other end comes from `peer`.
 * @throws NetError EEXIST when the name is taken
 */
export function createLink(socket: NetlinkSocket, spec: LinkSpec): void {
  const what = `create ${spec.kind} device ${spec.name}`;
  const writer = new MessageWriter(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, what);
  closingAfter(open => {
    linkHeader(writer, 0, flagChange(spec));
    writeSettings(writer, spec, open);
    if (spec.parent !== undefined) writer.attributeU32(IFLA_LINK, spec.parent);
    writer.nested(IFLA_LINKINFO, info => {
      info.attributeText(IFLA_INFO_KIND, spec.kind);
      writeKindData(info, IFLA_INFO_DATA, spec, peer => {
        linkHeader(info, 0, flagChange(peer));
        writeSettings(info, peer, open);
      });
    });
    socket.request(writer);
  });
}

/** Changes what `settings` name, nothing else. A device must be down for a new name on kernels before 6.2. @throws NetError */
export function changeLink(socket: NetlinkSocket, index: number, settings: LinkSettings): void {
  const { up, ...others } = settings;
  if (up && others.txQueueLength !== undefined) {
    // Of one request the kernel takes the flags first. Then it takes away the queue of a device that is up to change its
    // length (do_setlink in net/core/rtnetlink.c, dev_qdisc_change_tx_queue_len), and drops what is sent meanwhile.
    requestChange(socket, index, others);
    requestChange(socket, index, { up });
  } else requestChange(socket, index, settings);
}

function requestChange(socket: NetlinkSocket, index: number, settings: LinkSettings): void {
  const what = `change device ${index} (${Object.keys(settings).join(', ')})`;
  const writer = new MessageWriter(RTM_NEWLINK, 0, what);
  closingAfter(open => {
    linkHeader(writer, index, flagChange(settings));
    writeSettings(writer, settings, open);
    socket.request(writer);
  });
}

/** Removes a link; true when it was there. @throws NetError on anything but its absence */
export function deleteLink(socket: NetlinkSocket, nameOrIndex: string | number): boolean {
  const link = findLink(socket, nameOrIndex);
  if (!link) return false;
  const writer = new MessageWriter(RTM_DELLINK, 0, `delete device ${link.name}`, ['ENODEV']);
  return socket.request(linkHeader(writer, link.index));
}
