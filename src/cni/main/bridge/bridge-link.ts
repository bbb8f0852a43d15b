import { formatPrefix, overlaps, requirePrefix } from '../../../ip/prefix.ts';
import { ignoreErrors, isNetError } from '../../../net/error.ts';
import { addAddress, deleteAddress, listAddresses } from '../../../net/rtnetlink/addresses.ts';
import { changeBridge } from '../../../net/rtnetlink/bridge-port.ts';
import { changeLink, createLink, findLink, getLink, type Link } from '../../../net/rtnetlink/links.ts';
import type { NetlinkSocket } from '../../../net/rtnetlink/socket.ts';
import { trySysctl } from '../../../net/sysctl.ts';
import { readPrefix } from '../../config/addresses.ts';
import { DUPLICATES_LOOKED_FOR } from '../../link/interface.ts';
import { CniError, CODE } from '../../skel/errors.ts';
import type { BridgeConfig } from './config.ts';

/**
 * The configured bridge, created when it is missing, up. Two calls may make it at once: one creates it, both use it.
 * It is never removed: pods of other calls may be on it.
 * @throws CniError 999 when the name belongs to another kind of device
 */
export function ensureBridge(node: NetlinkSocket, netns: string, config: BridgeConfig): Link {
  const { bridge: name, promiscMode: promiscuous } = config;
  let link = findLink(node, name);
  const isOurs = link === undefined && createBridge(node, netns, config);
  link ??= getLink(node, name);
  if (link.kind !== 'bridge') {
    throw new CniError(
      CODE.INTERNAL,
      `"${name}" already exists but is not a bridge`,
      `it is of kind ${link.kind}`,
    );
  }
  // The reference plugin leaves a bridge that is there as it is, and its VLANs then separate nothing.
  const needsFiltering = config.vlan !== 0 || config.trunk.length > 0;
  if (needsFiltering && !link.details.bridge?.vlanFiltering) {
    changeBridge(node, link.index, { vlanFiltering: true });
  }
  if (!link.up || promiscuous) {
    changeLink(node, link.index, {
      up: true,
      ...(promiscuous ? { promiscuous } : {}),
      // Its random address, set explicitly: otherwise it takes the lowest one of its ports, which changes with them. Given to
      // a new bridge at once it would have no carrier, and so no link-local address, before a port is up.
      ...(isOurs && link.mac ? { mac: link.mac } : {}),
    });
  }
  return getLink(node, link.index);
}

/** @returns false when another call has created it in the meantime */
function createBridge(node: NetlinkSocket, netns: string, config: BridgeConfig): boolean {
  const { bridge: name, mtu } = config;
  try {
    createLink(node, {
      kind: 'bridge',
      name,
      ...(mtu > 0 ? { mtu } : {}),
      ...(config.vlanFiltering ? { bridge: { vlanFiltering: true } } : {}),
    });
  } catch (error) {
    if (isNetError(error, 'EEXIST')) return false;
    throw error;
  }
  // Routes are the plugin's to make: router advertisements must not add any.
  trySysctl(netns, `net/ipv6/conf/${name}/accept_ra`, '0', 'a pod can add routes by router advertisements');
  // Its link-local address comes from a random MAC; looking for duplicates would keep the first pod waiting for 2 s.
  trySysctl(netns, `net/ipv6/conf/${name}/accept_dad`, '0', DUPLICATES_LOOKED_FOR);
  return true;
}

/**
 * Puts the gateway's address on a bridge (or on a gateway's interface to it).
 * @param force replaces an address of the family (in IPv6: one whose subnet overlaps) that is not the gateway's
 * @throws CniError 999 when there is such an address and `force` is off
 */
export function ensureGatewayAddress(node: NetlinkSocket, link: Link, prefix: string, force: boolean): void {
  const wanted = readPrefix(prefix, 'gateway');
  const canonical = formatPrefix(wanted);
  for (const one of listAddresses(node, { link: link.index, family: wanted.family })) {
    if (one.prefix === canonical) return;
    const isOther = one.scope !== 0 || !overlaps(requirePrefix(one.prefix), wanted);
    if (wanted.family === 6 && isOther) continue;
    if (!force) {
      throw new CniError(
        CODE.INTERNAL,
        `"${link.name}" already has an IP address different from ${canonical}`,
        `it has ${one.prefix}; set forceAddress to replace it`,
      );
    }
    deleteAddress(node, { link: link.index, prefix: one.prefix });
  }
  // The bridge has the address alone on this node; detection would leave it unusable until a port is up.
  const noDuplicateDetection = wanted.family === 6;
  ignoreErrors(['EEXIST'], () =>
    addAddress(node, { link: link.index, prefix: canonical, noDuplicateDetection }),
  );
}

/** A bridge whose last port has gone has this address, which cannot be set. */
export const NO_MAC = '00:00:00:00:00:00';

/**
 * The address of a bridge that another program made may follow its ports. Setting it explicitly pins it, before the pod's
 * port comes: pods that are there have it in their neighbour tables.
 */
export function pinMac(node: NetlinkSocket, { index, mac }: Link): void {
  if (mac && mac !== NO_MAC) changeLink(node, index, { mac });
}
