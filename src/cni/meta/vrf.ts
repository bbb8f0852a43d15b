import { anyValue, integer, required, text, withDefault } from '../../base/schema.ts';
import { addAddress, listAddresses } from '../../net/rtnetlink/addresses.ts';
import {
  changeLink,
  createLink,
  deleteLink,
  findLink,
  getLink,
  isLinkName,
  type Link,
  listLinks,
} from '../../net/rtnetlink/links.ts';
import { listRoutes, replaceRoute, SCOPE_UNIVERSE, TABLE_MAIN } from '../../net/rtnetlink/routes.ts';
import type { NetlinkSocket } from '../../net/rtnetlink/socket.ts';
import { readIgnoringUnknown } from '../config/ignore-unknown.ts';
import { requirePrevResult } from '../config/network.ts';
import { failCheck } from '../link/checks.ts';
import { withPod, withPodIfExists } from '../link/netlink-pair.ts';
import type { Result } from '../result/types.ts';
import { CniError, CODE } from '../skel/errors.ts';
import type { Call, Plugin } from '../skel/plugin.ts';
import { Undo } from '../skel/undo.ts';

const vrfFields = {
  vrfname: required(text('an interface name', 'VRF in the pod; it is made if it does not exist', /./)),
  table: withDefault(
    integer(
      0,
      0xffffffff,
      'routing table of the VRF; 0: that of an existing VRF, or the first one that no VRF has',
    ),
    0,
  ),
};

const readConfig = (call: Call) => readIgnoringUnknown(vrfFields, call.config, '');

/** A link that is a VRF. */
type Vrf = Link & { details: { vrf: { table: number } } };

function findVrf(pod: NetlinkSocket, name: string): Vrf | undefined {
  const link = findLink(pod, name);
  if (!link) return undefined;
  if (link.details.vrf) return link as Vrf;
  throw new CniError(
    CODE.INTERNAL,
    `Netlink ${name} is not a VRF`,
    `it is of kind ${link.kind ?? 'unknown'}`,
  );
}

/** The VRF of the configuration, made where it is missing. */
function ensureVrf(pod: NetlinkSocket, name: string, table: number, undo: Undo): Vrf {
  const found = findVrf(pod, name);
  if (found) {
    const own = found.details.vrf.table;
    if (table === 0 || table === own) return found;
    throw new CniError(CODE.INTERNAL, `VRF ${name} already exist with different routing table ${own}`);
  }
  createLink(pod, { kind: 'vrf', name, vrf: { table: table || freeTable(pod) } });
  undo.push(`delete ${name}`, () => deleteLink(pod, name));
  changeLink(pod, getLink(pod, name).index, { up: true });
  return getLink(pod, name) as Vrf;
}

/** The first table from 1 on that no VRF of the pod has. */
function freeTable(pod: NetlinkSocket): number {
  const taken = new Set(listLinks(pod).map(link => link.details.vrf?.table));
  for (let table = 1; ; table++) if (!taken.has(table)) return table;
}

/**
 * Makes the interface a port of the VRF. The kernel then sets it down and up again, which takes away its IPv6 addresses (unless
 * keep_addr_on_down is set) and the routes that do not come with an address: both are made again, the routes in the VRF's table.
 */
function enslave(pod: NetlinkSocket, ifname: string, vrf: Vrf, undo: Undo): void {
  const { index: link, master } = getLink(pod, ifname);
  if (master) {
    const name = findLink(pod, master)?.name ?? master;
    throw new CniError(CODE.INTERNAL, `interface ${ifname} has already a master set: ${name}`);
  }
  const global = () => listAddresses(pod, { link, family: 6 }).filter(one => one.scope === SCOPE_UNIVERSE);
  const addresses = global();
  const routes = listRoutes(pod, { table: TABLE_MAIN }).filter(
    route => route.link === link && route.scope === SCOPE_UNIVERSE,
  );
  changeLink(pod, link, { master: vrf.index });
  undo.push(`take ${ifname} out of ${vrf.name}`, () => changeLink(pod, link, { master: 0 }));
  const kept = new Set(global().map(one => one.prefix));
  for (const { prefix, noPrefixRoute } of addresses)
    if (!kept.has(prefix)) addAddress(pod, { link, prefix, noPrefixRoute, noDuplicateDetection: true });
  for (const route of routes) replaceRoute(pod, { ...route, table: vrf.details.vrf.table });
}

async function add(call: Call): Promise<Result> {
  const { vrfname, table } = readConfig(call);
  const result = requirePrevResult(call, 'missing prevResult from earlier plugin');
  await withPod(call, pod =>
    Undo.guard(call.host.log, async undo => {
      enslave(pod, call.ifname, ensureVrf(pod, vrfname, table, undo), undo);
    }),
  );
  return result;
}

/** Takes the interface out, and deletes the VRF with its last one. */
async function del(call: Call): Promise<void> {
  // Without a valid name ADD was refused.
  const { vrfname } = readIgnoringUnknown({ vrfname: anyValue() }, call.config, '');
  if (typeof vrfname !== 'string' || !isLinkName(vrfname)) return;
  await withPodIfExists(call, pod => {
    const vrf = findVrf(pod, vrfname);
    if (!vrf) return;
    const link = findLink(pod, call.ifname);
    if (link?.master === vrf.index) changeLink(pod, link.index, { master: 0 });
    if (!listLinks(pod).some(one => one.master === vrf.index)) deleteLink(pod, vrf.index);
  });
}

async function check(call: Call): Promise<void> {
  const { vrfname } = readConfig(call);
  requirePrevResult(call);
  await withPod(call, pod => {
    const vrf = findVrf(pod, vrfname) ?? failCheck(`VRF ${vrfname} is missing in the container`);
    if (findLink(pod, call.ifname)?.master !== vrf.index)
      failCheck(`failed to find ${call.ifname} associated to vrf ${vrfname}`);
  });
}

/** Puts an interface of the pod into a VRF. */
export const vrf: Plugin = {
  name: 'vrf',
  docs: {
    keys: vrfFields,
    differences: [
      'CHECK of the earlier plugins of the chain finds the routes that were moved; in the reference it fails.',
      'IPv6 addresses that the kernel removes are added again without duplicate address detection.',
      'A failed ADD takes the interface out of the VRF and deletes a VRF that it made.',
      'DEL succeeds if the interface is gone.',
    ],
  },
  add,
  del,
  check,
};
