import { formatAddress } from '../../../ip/address.ts';
import { nth } from '../../../ip/prefix.ts';
import { changeLink, getLink, type Link } from '../../../net/rtnetlink/links.ts';
import { trySysctl } from '../../../net/sysctl.ts';
import { readPrefix } from '../../config/addresses.ts';
import { preferredDns, readDns } from '../../config/network.ts';
import { obtainAddresses } from '../../delegate/addresses.ts';
import {
  checkGateways,
  configureInterface,
  DUPLICATES_LOOKED_FOR,
  interfaceEntry,
  UNANNOUNCED,
  writeSysctlIfExists,
} from '../../link/interface.ts';
import { type NetlinkPair, withNodeAndPod } from '../../link/netlink-pair.ts';
import { callTag } from '../../link/tag.ts';
import { createVeth } from '../../link/veth.ts';
import { type Interface, isV6, type Result } from '../../result/types.ts';
import { addMasquerade } from '../../rules/masquerade.ts';
import type { Call } from '../../skel/plugin.ts';
import { Undo } from '../../skel/undo.ts';
import { ensureBridge, ensureGatewayAddress, NO_MAC, pinMac } from './bridge-link.ts';
import { type BridgeConfig, readConfig } from './config.ts';
import { connectPort, ensureVlanGateway, waitForPort } from './port.ts';
import { spoofGuard } from './spoof-guard.ts';

/** Index of the pod's interface in the result: bridge, node's end, pod's end. */
const POD = 2;

/** A pod on a bridge. Undone whole, but for the bridge, when a step fails. */
export function add(call: Call): Promise<Result> {
  const config = readConfig(call);
  const dns = readDns(call.config);
  return withNodeAndPod(call, netlink =>
    Undo.guard(call.host.log, async undo => {
      const bridge = ensureBridge(netlink.node, netlink.nodeNetns, config);
      if (config.isGateway) pinMac(netlink.node, bridge);
      const pair = createVeth(netlink, { ...config, ifname: call.ifname, tag: callTag(call) }, undo);
      connectPort(netlink.node, bridge, pair.node, config);
      if (config.macspoofchk) await guard(call, pair.node, pair.pod, undo);
      const result = await address(call, config, netlink, bridge, pair, undo);
      const told = [
        interfaceEntry(getLink(netlink.node, config.bridge)),
        interfaceEntry(getLink(netlink.node, pair.node.index)),
        interfaceEntry(getLink(netlink.pod, pair.pod.index), call.netns),
      ];
      const interfaces = [...told, ...result.interfaces];
      return { ...result, interfaces, dns: preferredDns(dns, result.dns) };
    }),
  );
}

async function guard(call: Call, port: Link, pod: Link, undo: Undo): Promise<void> {
  undo.push('remove the spoof guard', () => spoofGuard.remove(call));
  await spoofGuard.add(call, { name: port.name, mac: pod.mac });
}

/** Addresses, gateway and masquerading. `interfaces` of what it returns holds only the VLAN's gateway. */
async function address(
  call: Call,
  config: BridgeConfig,
  netlink: NetlinkPair,
  bridge: Link,
  pair: { node: Link; pod: Link },
  undo: Undo,
): Promise<Result> {
  if (!config.ipam) {
    if (!config.disableContainerInterface) {
      changeLink(netlink.pod, pair.pod.index, { up: true });
      await waitForPort(netlink.node, pair.node.index);
    }
    return { interfaces: [], ips: [], routes: [], dns: {} };
  }
  const result = withGateways(await obtainAddresses(call, config.ipam, undo), config);
  checkGateways(result);
  trySysctl(call.netns, `net/ipv4/conf/${call.ifname}/arp_notify`, '1', UNANNOUNCED);
  setDuplicateDetection(call, config.enabledad);
  await configureInterface(netlink.pod, call.netns, pair.pod.index, call.ifname, result);
  await waitForPort(netlink.node, pair.node.index);
  const interfaces = config.isGateway ? openGateway(call, config, netlink, bridge, result) : [];
  if (config.ipMasq) await addMasquerade(call, config.backend, result.ips, undo);
  return { ...result, interfaces };
}

/** Whether the pod looks for duplicates of its IPv6 addresses; if so, in the way that its own looped probes do not disturb. */
function setDuplicateDetection(call: Call, enabled: boolean): void {
  const set = (name: string, value: string, without: string) =>
    trySysctl(call.netns, `net/ipv6/conf/${call.ifname}/${name}`, value, without);
  if (enabled) {
    set('enhanced_dad', '1', 'a looped probe of the pod counts as a duplicate');
    set('accept_dad', '1', 'duplicates of IPv6 addresses are not detected');
  } else set('accept_dad', '0', DUPLICATES_LOOKED_FOR);
}

/** The gateways that the plugin adds: the subnet's first address where none is named, and the default routes. */
function withGateways(given: Result, config: BridgeConfig): Result {
  const ips = given.ips.map(one => {
    const gateway = one.gateway ?? (config.isGateway ? firstAddress(one.address) : undefined);
    return { ...one, interface: POD, ...(gateway ? { gateway } : {}) };
  });
  const routes = [...given.routes];
  for (const { address, gateway } of config.isDefaultGateway ? ips : []) {
    const dst = isV6(address) ? '::/0' : '0.0.0.0/0';
    if (!routes.some(route => route.dst === dst && route.gw)) routes.push({ dst, gw: gateway! });
  }
  return { ...given, ips, routes };
}

function firstAddress(cidr: string): string {
  return formatAddress(nth(readPrefix(cidr, 'address'), 1n));
}

/** Puts the gateway addresses on the bridge (or the VLAN's interface) and lets the node forward. */
function openGateway(
  call: Call,
  config: BridgeConfig,
  netlink: NetlinkPair,
  bridge: Link,
  result: Result,
): Interface[] {
  const vlan = config.vlan !== 0;
  const gateway = vlan ? ensureVlanGateway(netlink.node, bridge, config) : bridge;
  if (bridge.mac === NO_MAC) pinMac(netlink.node, getLink(netlink.node, bridge.index));
  for (const one of result.ips) {
    const length = one.address.split('/')[1];
    ensureGatewayAddress(netlink.node, gateway, `${one.gateway}/${length}`, config.forceAddress);
    const forwarding = isV6(one.address) ? 'net/ipv6/conf/all/forwarding' : 'net/ipv4/ip_forward';
    writeSysctlIfExists(call.host.netns, forwarding, '1');
  }
  return vlan ? [interfaceEntry(getLink(netlink.node, gateway.index))] : [];
}
