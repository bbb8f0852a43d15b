import { changeLink, deleteLink, getLink, type Link } from '../../net/rtnetlink/links.ts';
import { trySysctl } from '../../net/sysctl.ts';
import { readDns, requirePrevResult, validAttachments } from '../config/network.ts';
import { forwardToIpam, obtainAddresses, releaseSteps } from '../delegate/addresses.ts';
import { checkAddresses, checkRoutes, podInterface } from '../link/checks.ts';
import { checkGateways, configureInterface, interfaceEntry, UNANNOUNCED } from '../link/interface.ts';
import { type NetlinkPair, runAll, withNodeAndPod, withPodIfExists } from '../link/netlink-pair.ts';
import { emptyResult, type Interface, type Result } from '../result/types.ts';
import type { Call, Plugin, PluginDocs } from '../skel/plugin.ts';
import { Undo } from '../skel/undo.ts';

/*
 * What the plugins have in common that put one device into the pod and give it the addresses of an IPAM plugin. Each of them
 * says how it reads its configuration, how the device comes into the pod, and how it leaves it.
 */

interface PodLinkConfig {
  /** Undefined: no addresses are managed. */
  ipam: string | undefined;
  /** Addresses of an earlier plugin, for a chain without `ipam`. */
  given?: Result | undefined;
}

/** A difference that these plugins have in common. */
export const OUTSIDE_GATEWAY =
  'A gateway outside of the subnet of its address is refused (code 7) with both of them.';

type Made = Link | undefined;

export interface PodLinkKind<C extends PodLinkConfig> {
  name: string;
  docs: PluginDocs;
  /** The result has the DNS settings of the IPAM plugin instead of those of the network. */
  dnsOfIpam?: boolean;
  read(call: Call): C;
  /**
   * Puts the device into the pod under the name of CNI_IFNAME, down, and pushes the reverse onto `undo`. Undefined: the kernel
   * has no interface for it.
   */
  create(call: Call, netlink: NetlinkPair, config: C, undo: Undo): Made | Promise<Made>;
  /** Throws what has changed about the device. */
  verify(netlink: NetlinkPair, entry: Interface, config: C): Made;
  /** Takes the device out of the pod, on DEL; absent: it is deleted. */
  remove?(call: Call): void | Promise<void>;
  /** Throws why an ADD would fail, besides what IPAM says. */
  status?(call: Call): void | Promise<void>;
}

async function add<C extends PodLinkConfig>(call: Call, kind: PodLinkKind<C>): Promise<Result> {
  const config = kind.read(call);
  const ofNetwork = readDns(call.config) ?? {};
  return withNodeAndPod(call, netlink =>
    Undo.guard(call.host.log, async undo => {
      const link = await kind.create(call, netlink, config, undo);
      const result = await address(call, config, netlink, link, undo);
      const entry = link
        ? interfaceEntry(getLink(netlink.pod, link.index), call.netns)
        : { name: call.ifname, sandbox: call.netns };
      return { ...result, interfaces: [entry], dns: kind.dnsOfIpam ? result.dns : ofNetwork };
    }),
  );
}

async function address(
  call: Call,
  config: PodLinkConfig,
  { pod }: NetlinkPair,
  link: Made,
  undo: Undo,
): Promise<Result> {
  const given = config.given ?? (config.ipam ? await obtainAddresses(call, config.ipam, undo) : undefined);
  if (!given) {
    if (link) changeLink(pod, link.index, { up: true });
    return emptyResult();
  }
  const result = { ...given, ips: given.ips.map(one => ({ ...one, interface: 0 })) };
  checkGateways(result);
  if (!link) return result;
  // Neighbours are notified when the address moves to this device.
  trySysctl(call.netns, `net/ipv4/conf/${call.ifname}/arp_notify`, '1', UNANNOUNCED);
  trySysctl(call.netns, `net/ipv6/conf/${call.ifname}/ndisc_notify`, '1', UNANNOUNCED);
  await configureInterface(pod, call.netns, link.index, call.ifname, result);
  return result;
}

async function check<C extends PodLinkConfig>(call: Call, kind: PodLinkKind<C>): Promise<void> {
  const config = kind.read(call);
  await forwardToIpam(call, 'CHECK');
  const { entry, own } = podInterface(call, requirePrevResult(call));
  await withNodeAndPod(call, async netlink => {
    const link = kind.verify(netlink, entry, config);
    if (!link) return;
    checkAddresses(netlink.pod, link, own);
    checkRoutes(netlink.pod, own);
  });
}

export function podLinkPlugin<C extends PodLinkConfig>(kind: PodLinkKind<C>): Plugin {
  const remove = (call: Call) =>
    kind.remove ? kind.remove(call) : withPodIfExists(call, pod => deleteLink(pod, call.ifname));
  return {
    name: kind.name,
    docs: kind.docs,
    add: call => add(call, kind),
    del: call => runAll(releaseSteps(call, 'DEL', [() => remove(call)])),
    check: call => check(call, kind),
    // The device goes with the pod's namespace; what can leak are addresses.
    gc: async call => {
      validAttachments(call);
      await forwardToIpam(call, 'GC');
    },
    async status(call) {
      await kind.status?.(call);
      await forwardToIpam(call, 'STATUS');
    },
  };
}
