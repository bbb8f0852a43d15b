import { messageOf } from '../../../base/errors.ts';
import type { KindSpec } from '../../../net/rtnetlink/link-kinds.ts';
import { createLink, deleteLink, findLink, getLink, type Link } from '../../../net/rtnetlink/links.ts';
import { listRoutes, TABLE_MAIN } from '../../../net/rtnetlink/routes.ts';
import type { NetlinkSocket } from '../../../net/rtnetlink/socket.ts';
import { checkLink, failCheck } from '../../link/checks.ts';
import { type NetlinkPair, withNode } from '../../link/netlink-pair.ts';
import { refuseExisting } from '../../link/veth.ts';
import type { Interface, Result } from '../../result/types.ts';
import { CniError, CODE, refuse, refuseAs } from '../../skel/errors.ts';
import { interfaceNameProblem } from '../../skel/names.ts';
import type { Call, Plugin, PluginDocs } from '../../skel/plugin.ts';
import type { Undo } from '../../skel/undo.ts';
import { podLinkPlugin } from '../pod-link.ts';

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
  docs: PluginDocs;
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
    'no default route interface found',
    'master: name the device beneath, or add a default route',
  );
}

function findMaster(socket: NetlinkSocket, config: SubInterfaceConfig): Link {
  if (!config.master) return defaultMaster(socket);
  const fault = interfaceNameProblem(config.master);
  if (fault) refuse('master', `${fault.problem}: ${JSON.stringify(config.master)}`);
  const link = findLink(socket, config.master);
  if (!link)
    throw new CniError(CODE.INTERNAL, `failed to lookup master "${config.master}": no such interface`);
  return link;
}

/** Makes the link in the pod, down. */
function createSubInterface(call: Call, netlink: NetlinkPair, config: SubInterfaceConfig, undo: Undo): Link {
  const place = config.linkInContainer ? netlink.pod : netlink.node;
  refuseExisting(netlink.pod, call.ifname);
  const master = findMaster(place, config);
  // An ipvlan may have a larger one: frames between pods of one device do not leave it.
  if (config.mtu < 0 || (config.kind.kind !== 'ipvlan' && config.mtu > master.mtu)) {
    const sentence = `invalid MTU ${config.mtu}, must be [0, master MTU(${master.mtu})]`;
    refuseAs(sentence, 'mtu', `0 or no value is that of ${master.name}`);
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

function verifySubInterface(
  { node, pod }: NetlinkPair,
  entry: Interface,
  config: SubInterfaceConfig,
  kind: SubInterfaceKind,
): Link {
  const link = checkLink(pod, entry, kind.name);
  if (!link.up) failCheck(`Interface ${entry.name} is down`);
  const master = findMaster(config.linkInContainer ? pod : node, config);
  if (link.parent !== master.index) failCheck(`Interface ${entry.name} is not based on ${master.name}`);
  kind.verify(config, link);
  return link;
}

async function requireMaster(call: Call, kind: SubInterfaceKind): Promise<void> {
  const config = kind.read(call);
  if (config.linkInContainer || !config.master) return;
  await withNode(call, node => findMaster(node, config)).catch(error => {
    throw new CniError(CODE.PLUGIN_UNAVAILABLE, messageOf(error));
  });
}

export function subInterfacePlugin(kind: SubInterfaceKind): Plugin {
  return podLinkPlugin<SubInterfaceConfig>({
    name: kind.name,
    docs: kind.docs,
    read: kind.read,
    create: createSubInterface,
    verify: (netlink, entry, config) => verifySubInterface(netlink, entry, config, kind),
    status: call => requireMaster(call, kind),
  });
}
