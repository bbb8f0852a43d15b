import { isNetError } from '../../net/error.ts';
import {
  changeLink,
  createLink,
  deleteLink,
  findLink,
  getLink,
  type Link,
  listLinksByAlias,
} from '../../net/rtnetlink/links.ts';
import type { NetlinkSocket } from '../../net/rtnetlink/socket.ts';
import { CniError, CODE } from '../skel/errors.ts';
import type { Undo } from '../skel/undo.ts';
import type { NetlinkPair } from './netlink-pair.ts';

const NAME_TRIES = 10;

/** `veth` and eight hexadecimal digits, as the reference plugins name the node's end. Another one is tried where it is taken. */
function randomName(): string {
  const number = Math.floor(Math.random() * 2 ** 32);
  return `veth${number.toString(16).padStart(8, '0')}`;
}

interface VethOptions {
  /** Name of the pod's end. */
  ifname: string;
  /** Bytes; 0 for the kernel's default. */
  mtu: number;
  mac?: string | undefined;
  /** Alias of the node's end, by which it is found without the pod. */
  tag: string;
}

/** Refuses an interface that the pod has already, as the specification demands of ADD. */
export function refuseExisting(pod: NetlinkSocket, ifname: string): void {
  if (!findLink(pod, ifname)) return;
  throw new CniError(
    CODE.INTERNAL,
    `container interface name "${ifname}" already exists`,
    'DEL the attachment first',
  );
}

/**
 * Makes a veth pair with one end in the pod. The node's end is up, the pod's is left for its addresses.
 * @throws CniError 999 when the pod has such an interface, NetError
 */
export function createVeth(
  netlink: NetlinkPair,
  options: VethOptions,
  undo: Undo,
): { node: Link; pod: Link } {
  const { ifname, mtu, mac, tag } = options;
  refuseExisting(netlink.pod, ifname);
  const size = mtu > 0 ? { mtu } : {};
  const name = nameFor(netlink.node, candidate =>
    createLink(netlink.node, {
      kind: 'veth',
      name: candidate,
      ...size,
      alias: tag,
      peer: { name: ifname, netns: netlink.podNetns, ...size, ...(mac ? { mac } : {}) },
    }),
  );
  undo.push(`delete ${name}`, () => deleteLink(netlink.node, name));
  const node = getLink(netlink.node, name);
  // Not every kernel accepts the alias together with a new link.
  changeLink(netlink.node, node.index, { alias: tag, up: true });
  return { node: getLink(netlink.node, node.index), pod: getLink(netlink.pod, ifname) };
}

/** Calls `create` with random names until one is free. @throws NetError EEXIST when ten were taken */
export function nameFor(node: NetlinkSocket, create: (name: string) => void): string {
  for (let tries = 1; ; tries++) {
    const name = randomName();
    try {
      create(name);
      return name;
    } catch (error) {
      if (!isNetError(error, 'EEXIST') || tries === NAME_TRIES || !findLink(node, name)) throw error;
    }
  }
}

/**
 * Deletes the node's links with a tag.
 * @param part what the tags contain: the whole tag, or the network's beginning of it (`networkTag`)
 * @param wanted accepts the tags of links to delete
 * @returns their names
 */
export function deleteTagged(
  node: NetlinkSocket,
  part: string,
  wanted: (tag: string) => boolean = tag => tag === part,
): string[] {
  const stale = listLinksByAlias(node, part).filter(link => wanted(link.alias ?? ''));
  for (const link of stale) deleteLink(node, link.index);
  return stale.map(link => link.name);
}
