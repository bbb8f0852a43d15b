import { anyValue, integer } from '../../base/schema.ts';
import { canonicalAddress } from '../../ip/address.ts';
import { contains, requirePrefix } from '../../ip/prefix.ts';
import { listAddresses } from '../../net/rtnetlink/addresses.ts';
import { findLink, getLink } from '../../net/rtnetlink/links.ts';
import {
  addRoute,
  deleteRoute,
  listRoutes,
  type Route,
  replaceRoute,
  TABLE_MAIN,
} from '../../net/rtnetlink/routes.ts';
import { addRule, deleteRule, listRules } from '../../net/rtnetlink/rules.ts';
import type { NetlinkSocket } from '../../net/rtnetlink/socket.ts';
import { readAddress } from '../config/addresses.ts';
import { readIgnoringUnknown } from '../config/ignore-unknown.ts';
import { readPrevResult, requirePrevResult } from '../config/network.ts';
import { failCheck } from '../link/checks.ts';
import { withPod, withPodIfExists } from '../link/netlink-pair.ts';
import { type AssignedAddress, hostPart, isV6, type Result } from '../result/types.ts';
import { CniError, CODE } from '../skel/errors.ts';
import type { Call, Plugin } from '../skel/plugin.ts';
import { Undo } from '../skel/undo.ts';

/*
 * Source based routing: what the pod sends from an address of this interface leaves by this interface, whatever the routes of
 * its other interfaces say. A rule for each address leads to a table that has the interface's routes.
 */

/** The first table that is taken where none is configured. */
const FIRST_TABLE = 100;

const sbrFields = {
  table: integer(
    0,
    0xffffffff,
    'routing table that has the routes already; default: a free one from 100 on for each address, to which the routes of the interface are moved',
  ),
};

const readTable = (call: Call) => readIgnoringUnknown(sbrFields, call.config, '').table;

/** The addresses of CNI_IFNAME, and those that name no interface. */
function addressesOf(call: Call, { ips, interfaces }: Result): AssignedAddress[] {
  if (ips.length === 0)
    throw new CniError(CODE.INTERNAL, `No IP addresses supplied on interface: ${call.ifname}`);
  return ips.filter(
    one => one.interface === undefined || (interfaces[one.interface]?.name ?? call.ifname) === call.ifname,
  );
}

async function add(call: Call): Promise<Result> {
  const table = readTable(call);
  const result = requirePrevResult(call, 'This plugin must be called as chained plugin');
  const ips = addressesOf(call, result);
  await withPod(call, pod =>
    Undo.guard(call.host.log, async undo => {
      if (table === undefined) moveRoutes(call, pod, ips, undo);
      else for (const { address } of ips) lead(pod, address, table, undo);
    }),
  );
  return result;
}

/** A rule for what is sent from the address. */
function lead(pod: NetlinkSocket, address: string, table: number, undo: Undo): void {
  const rule = { source: hostPart(address), table };
  addRule(pod, rule);
  undo.push(`delete the rule of ${rule.source}`, () => deleteRule(pod, rule));
}

/** Gives each address a table with the routes of the interface that belong to it, and takes these out of the main table. */
function moveRoutes(call: Call, pod: NetlinkSocket, ips: readonly AssignedAddress[], undo: Undo): void {
  const link = getLink(pod, call.ifname);
  const routes = listRoutes(pod, { table: TABLE_MAIN }).filter(route => route.link === link.index);
  const taken = new Set([...listRules(pod), ...listRoutes(pod)].map(one => one.table));
  let table = FIRST_TABLE;
  for (const { address, gateway } of ips) {
    while (taken.has(table)) table++;
    taken.add(table);
    lead(pod, address, table, undo);
    const own = { table, link: link.index };
    if (gateway) {
      const destination = isV6(address) ? '::/0' : '0.0.0.0/0';
      addRoute(pod, { ...own, destination, gateway });
      undo.push(`delete the default route of table ${table}`, () =>
        deleteRoute(pod, { ...own, destination }),
      );
    }
    for (const route of routes.filter(one => belongsTo(one, address))) {
      replaceRoute(pod, { ...route, ...own });
      undo.push(`delete ${route.destination} from table ${own.table}`, () =>
        deleteRoute(pod, { ...own, destination: route.destination }),
      );
    }
  }
  // Not before: the gateways of all addresses are reached by routes of the main table.
  for (const route of routes) {
    deleteRoute(pod, route);
    undo.push(`add the route ${route.destination} again`, () => replaceRoute(pod, route));
  }
}

/** True for a route by the address's subnet, and for one that names neither gateway nor source. */
function belongsTo({ gateway, source }: Route, address: string): boolean {
  const subnet = requirePrefix(address);
  const named = [gateway, source].filter(one => one !== undefined);
  return named.length === 0 || named.some(one => contains(subnet, readAddress(one, 'route')));
}

/** Removes the rules of the interface's addresses. The routes go with the interface. */
async function del(call: Call): Promise<void> {
  // An invalid number was refused by ADD.
  const { table } = readIgnoringUnknown({ table: anyValue() }, call.config, '');
  await withPodIfExists(call, pod => {
    const link = findLink(pod, call.ifname);
    const own = new Set(link ? listAddresses(pod, { link: link.index }).map(one => one.address) : []);
    const previous = readPrevResult(call);
    for (const { address } of previous?.ips.length ? addressesOf(call, previous) : [])
      own.add(canonicalAddress(hostPart(address)));
    for (const { source, ...rule } of listRules(pod))
      if (source && own.has(source) && (typeof table !== 'number' || rule.table === table))
        deleteRule(pod, { source, ...rule });
  });
}

/** Each address has its rule. */
async function check(call: Call): Promise<void> {
  const table = readTable(call);
  const ips = addressesOf(call, requirePrevResult(call));
  await withPod(call, pod => {
    const rules = listRules(pod);
    for (const { address } of ips) {
      const source = canonicalAddress(hostPart(address));
      if (!rules.some(rule => rule.source === source && (table ?? rule.table) === rule.table))
        failCheck(`rule from ${source}${table === undefined ? '' : ` lookup ${table}`} is missing`);
    }
  });
}

/** Routes what an interface sends by its source address. */
export const sbr: Plugin = {
  name: 'sbr',
  docs: {
    keys: sbrFields,
    differences: [
      'CHECK of the earlier plugins of the chain finds the routes that were moved; in the reference it fails.',
      'CHECK looks whether each address has its rule; in the reference it has nothing to do.',
      'A table that has routes but no rule is not taken.',
      'A failed ADD leaves rules and routes as they were.',
    ],
  },
  add,
  del,
  check,
};
