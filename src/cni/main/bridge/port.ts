import { setTimeout as sleep } from 'node:timers/promises';
import { changeBridgePort } from '../../../net/rtnetlink/bridge-port.ts';
import { addBridgeVlan, deleteBridgeVlan, listBridgeVlans } from '../../../net/rtnetlink/bridge-vlans.ts';
import {
  changeLink,
  createLink,
  deleteLink,
  findLink,
  getLink,
  type Link,
} from '../../../net/rtnetlink/links.ts';
import type { NetlinkSocket } from '../../../net/rtnetlink/socket.ts';
import { nameFor } from '../../link/veth.ts';
import { CniError, CODE } from '../../skel/errors.ts';
import type { BridgeConfig } from './config.ts';

/** VLAN of what a trunk carries without a tag, where no `vlan` is configured. */
const NATIVE_VLAN = 1;
/** When the port is looked at again after it was not up, ms. */
const PORT_WAITS = [0, 50, 500, 1000, 1000];

/** Connects the node's end of a pair to the bridge, with the port's options and VLANs. */
export function connectPort(node: NetlinkSocket, bridge: Link, port: Link, config: BridgeConfig): void {
  changeLink(node, port.index, { master: bridge.index });
  if (config.hairpinMode || config.portIsolation) {
    changeBridgePort(node, port.index, {
      ...(config.hairpinMode ? { hairpin: true } : {}),
      ...(config.portIsolation ? { isolated: true } : {}),
    });
  }
  setVlans(node, port, config);
}

function setVlans(node: NetlinkSocket, port: Link, { vlan, trunk, preserveDefaultVlan }: BridgeConfig): void {
  if (vlan === 0 && trunk.length === 0) return;
  const given = preserveDefaultVlan ? [] : listBridgeVlans(node).filter(one => one.link === port.index);
  for (const { id } of given) deleteBridgeVlan(node, { link: port.index, id });
  for (const id of trunk) addBridgeVlan(node, { link: port.index, id });
  addBridgeVlan(node, { link: port.index, id: vlan || NATIVE_VLAN, pvid: true, untagged: true });
}

/** Waits until the bridge forwards for the port. @throws CniError 999 after 2.5 s */
export async function waitForPort(node: NetlinkSocket, index: number): Promise<void> {
  let state = '';
  for (const wait of PORT_WAITS) {
    if (wait > 0) await sleep(wait);
    const link = getLink(node, index);
    if (link.operational === 'up') return;
    state = link.operational;
  }
  throw new CniError(CODE.INTERNAL, `bridge port in error state: ${state}`);
}

/**
 * The interface that has the gateway's address in a VLAN: one end of a pair whose other end is a port of the bridge in
 * that VLAN, named `<bridge>.<vlan>`. Like the bridge it stays.
 */
export function ensureVlanGateway(node: NetlinkSocket, bridge: Link, config: BridgeConfig): Link {
  const name = `${bridge.name}.${config.vlan}`;
  const there = findLink(node, name);
  if (there) return there;
  const portName = nameFor(node, candidate =>
    createLink(node, { kind: 'veth', name: candidate, mtu: bridge.mtu, peer: { name, mtu: bridge.mtu } }),
  );
  try {
    const port = getLink(node, portName);
    changeLink(node, port.index, { master: bridge.index, up: true });
    setVlans(node, port, { ...config, trunk: [] });
    changeLink(node, getLink(node, name).index, { up: true });
  } catch (error) {
    deleteLink(node, portName);
    throw error;
  }
  return getLink(node, name);
}
