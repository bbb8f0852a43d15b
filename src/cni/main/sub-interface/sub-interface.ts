import { messageOf } from '../../../base/errors.ts';
import type { KindSpec } from '../../../net/rtnetlink/link-kinds.ts';
import {
  changeLink,
  createLink,
  deleteLink,
  findLink,
  getLink,
  type Link,
} from '../../../net/rtnetlink/links.ts';
import { listRoutes, TABLE_MAIN } from '../../../net/rtnetlink/routes.ts';
import type { NetlinkSocket } from '../../../net/rtnetlink/socket.ts';
import { trySysctl } from '../../../net/sysctl.ts';
import { readDns, requirePrevResult, validAttachments } from '../../config/network.ts';
import { forwardToIpam, obtainAddresses, releaseSteps } from '../../delegate/addresses.ts';
import { checkAddresses, checkLink, checkRoutes, failCheck, podInterface } from '../../link/checks.ts';
import { checkGateways, configureInterface, interfaceEntry, UNANNOUNCED } from '../../link/interface.ts';
import {
  type NetlinkPair,
  runAll,
  withNode,
  withNodeAndPod,
  withPodIfExists,
} from '../../link/netlink-pair.ts';
import { refuseExisting } from '../../link/veth.ts';
import type { Result } from '../../result/types.ts';
import { CniError, CODE, refuse } from '../../skel/errors.ts';
import { interfaceNameProblem } from '../../skel/names.ts';
import type { Call, Plugin } from '../../skel/plugin.ts';
import { Undo } from '../../skel/undo.ts';

/*
 * macvlan, ipvlan and vlan have the same structure: a device of the pod that is based on a device of the node (or, with
 * linkInContainer, of the pod). Each of them says how it reads its configuration and what kind of link it makes.
 */

interface SubInterfaceConfig {
  /** Name of the device beneath; undefined: the one of the default route. */
  master: string | undefined;
  /** The device beneath is in the pod's namespace. */
  linkInContainer: boolean;
  /** Bytes; 0: that of the device beneath. */
  mtu: number;
  mac?: string | undefined;
  kind: KindSpec;
  /** Undefined: no addresses are managed. */
  ipam: string | undefined;
  /** Addresses of an earlier plugin, for a chain without `ipam`. */
  given?: Result | undefined;
}

interface SubInterfaceKind {
  name: 'macvlan' | 'ipvlan' | 'vlan';
  read(call: Call): SubInterfaceConfig;
  /** Throws what has changed about the link. */
  verify(config: SubInterfaceConfig, link: Link): void;
}

/** The device of the default route. @throws CniError 999 without one */
function defaultMaster(socket: NetlinkSocket): Link {
  const defaults = listRoutes(socket, { table: TABLE_MAIN }).filter(
    route => (route.destination === '0.0.0.0/0' || route.destination === '::/0') && route.link !== undefined,
  );
  const [first] = defaults.sort((a, b) => a.family - b.family || a.metric - b.metric);
  if (first?.link !== undefined) return getLink(socket, first.link);
  throw new CniError(
    CODE.INTERNAL,
    'no default route found to take the master interface from',
    'name it: "master"',
  );
}

function findMaster(socket: NetlinkSocket, config: SubInterfaceConfig): Link {
  if (!config.master) return defaultMaster(socket);
  const fault = interfaceNameProblem(config.master);
  if (fault) refuse('master', `${fault.problem}: ${JSON.stringify(config.master)}`);
  const link = findLink(socket, config.master);
  if (!link)
    throw new CniError(
      CODE.INTERNAL,
      `master: failed to lookup master "${config.master}": no such interface`,
    );
  return link;
}

/** Makes the link in the pod, down. */
function createSubInterface(call: Call, netlink: NetlinkPair, config: SubInterfaceConfig, undo: Undo): Link {
  const place = config.linkInContainer ? netlink.pod : netlink.node;
  refuseExisting(netlink.pod, call.ifname);
  const master = findMaster(place, config);
  if (config.mtu > master.mtu) {
    refuse('mtu', `invalid MTU ${config.mtu}, must be [0, master MTU(${master.mtu})]`);
  }
  createLink(place, {
    ...config.kind,
    name: call.ifname,
    parent: master.index,
    mtu: config.mtu || master.mtu,
    netns: call.netns,
    ...(config.mac ? { mac: config.mac } : {}),
  });
  undo.push(`delete ${call.ifname}`, () => deleteLink(netlink.pod, call.ifname));
  return getLink(netlink.pod, call.ifname);
}

async function addSubInterface(call: Call, kind: SubInterfaceKind): Promise<Result> {
  const config = kind.read(call);
  const dns = readDns(call.config) ?? {};
  return withNodeAndPod(call, netlink =>
    Undo.guard(call.host.log, async undo => {
      const link = createSubInterface(call, netlink, config, undo);
      const result = await address(call, config, netlink, link, undo);
      return { ...result, interfaces: [interfaceEntry(getLink(netlink.pod, link.index), call.netns)], dns };
    }),
  );
}

async function address(
  call: Call,
  config: SubInterfaceConfig,
  netlink: NetlinkPair,
  link: Link,
  undo: Undo,
): Promise<Result> {
  const given = config.given ?? (config.ipam ? await obtainAddresses(call, config.ipam, undo) : undefined);
  if (!given) {
    changeLink(netlink.pod, link.index, { up: true });
    return { interfaces: [], ips: [], routes: [], dns: {} };
  }
  const result = { ...given, ips: given.ips.map(one => ({ ...one, interface: 0 })) };
  checkGateways(result);
  // Neighbours are notified when the address moves to this device.
  trySysctl(call.netns, `net/ipv4/conf/${call.ifname}/arp_notify`, '1', UNANNOUNCED);
  trySysctl(call.netns, `net/ipv6/conf/${call.ifname}/ndisc_notify`, '1', UNANNOUNCED);
  await configureInterface(netlink.pod, call.netns, link.index, call.ifname, result);
  return result;
}

async function checkSubInterface(call: Call, kind: SubInterfaceKind): Promise<void> {
  const config = kind.read(call);
  await forwardToIpam(call, 'CHECK');
  const previous = requirePrevResult(call);
  const { entry, own } = podInterface(call, previous);
  await withNodeAndPod(call, async ({ node, pod }) => {
    const link = checkLink(pod, entry, kind.name);
    if (!link.up) failCheck(`Interface ${entry.name} is down`);
    const master = findMaster(config.linkInContainer ? pod : node, config);
    if (link.parent !== master.index) failCheck(`Interface ${entry.name} is not based on ${master.name}`);
    kind.verify(config, link);
    checkAddresses(pod, link, own);
    checkRoutes(pod, own);
  });
}

async function subInterfaceStatus(call: Call, kind: SubInterfaceKind): Promise<void> {
  const config = kind.read(call);
  if (!config.linkInContainer && config.master) {
    await withNode(call, node => findMaster(node, config)).catch(error => {
      throw new CniError(CODE.PLUGIN_UNAVAILABLE, messageOf(error));
    });
  }
  await forwardToIpam(call, 'STATUS');
}

export function subInterfacePlugin(kind: SubInterfaceKind): Plugin {
  return {
    name: kind.name,
    add: call => addSubInterface(call, kind),
    del: call =>
      runAll(releaseSteps(call, 'DEL', [() => withPodIfExists(call, pod => deleteLink(pod, call.ifname))])),
    check: call => checkSubInterface(call, kind),
    // The link goes with the pod's namespace; what can leak are addresses.
    gc: async call => {
      validAttachments(call);
      await forwardToIpam(call, 'GC');
    },
    status: call => subInterfaceStatus(call, kind),
  };
}
