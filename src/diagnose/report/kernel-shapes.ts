import {
  anyValue,
  boolean,
  type Field,
  fail,
  integer,
  listOf,
  mapOf,
  nullable,
  oneOf,
  openObject,
  record,
  required,
  string,
} from '../../base/schema.ts';
import { parseAddress } from '../../ip/address.ts';
import { parseMac } from '../../ip/mac.ts';
import { isNetwork, parsePrefix } from '../../ip/prefix.ts';

/*
 * The kernel state of a report: what a trace needs of it, and what people look at. Writer and reader use the same fields, so that
 * texts that anyone may choose, as the alias of a link, stay out.
 */

/** A text that `isRight` accepts. */
function checked(type: string, isRight: (text: string) => boolean): Field<string> {
  return {
    ...{ type, doc: '', json: { type: 'string' } },
    read: (raw, where) =>
      typeof raw === 'string' && isRight(raw) ? raw : fail(where, `${JSON.stringify(raw)} is not ${type}`),
  };
}

export const address = checked('an IP address', text => parseAddress(text) !== undefined);
export const mac = checked('a MAC address', text => parseMac(text) !== undefined);
export const network = checked('a network', text => {
  const prefix = text.includes('/') ? parsePrefix(text) : undefined;
  return prefix !== undefined && isNetwork(prefix);
});
const prefix = checked(
  'an address with a length',
  text => text.includes('/') && parsePrefix(text) !== undefined,
);
const u32 = integer(0, 0xffffffff, '');
const family: Field<4 | 6> = {
  ...{ type: '4 | 6', doc: '', json: { enum: [4, 6] } },
  read: (raw, where) => (raw === 4 || raw === 6 ? raw : fail(where, `${JSON.stringify(raw)} is not 4 or 6`)),
};

const link = openObject(
  {
    index: required(u32),
    name: required(string),
    type: required(u32),
    kind: string,
    flags: required(u32),
    up: required(boolean),
    running: required(boolean),
    operational: required(
      oneOf(['unknown', 'notpresent', 'down', 'lowerlayerdown', 'testing', 'dormant', 'up']),
    ),
    mtu: required(u32),
    mac,
    master: u32,
    parent: u32,
    txQueueLength: required(u32),
    details: required(
      openObject(
        {
          vxlan: openObject(
            {
              ...{ vni: required(u32), parent: u32, local: address, port: required(u32) },
              ...{ learning: required(boolean), gbp: required(boolean), copyDscp: boolean },
              remoteChecksum: required(record({ sends: boolean, receives: boolean })),
            },
            '',
          ),
          bridge: record({ vlanFiltering: boolean }),
          vlan: record({ id: u32 }),
          vrf: record({ table: u32 }),
          tun: record({ mode: oneOf(['tun', 'tap']), persistent: boolean, multiQueue: boolean }),
        },
        '',
      ),
    ),
  },
  'a device',
);

const interfaceAddress = record({
  ...{ family, link: u32, address, prefixLength: integer(0, 128, ''), prefix, scope: u32 },
  ...{ secondary: boolean, deprecated: boolean, tentative: boolean, duplicate: boolean },
  noPrefixRoute: boolean,
});

const hop = openObject(
  { link: u32, gateway: address, onlink: required(boolean), weight: required(u32) },
  'a next hop',
);
const route = openObject(
  {
    family: required(family),
    destination: required(prefix),
    gateway: address,
    link: u32,
    source: address,
    ...{ metric: required(u32), table: required(u32), protocol: required(u32), scope: required(u32) },
    type: required(
      oneOf([
        ...(['unspec', 'unicast', 'local', 'broadcast', 'anycast', 'multicast'] as const),
        ...(['blackhole', 'unreachable', 'prohibit', 'throw'] as const),
      ]),
    ),
    onlink: required(boolean),
    mtu: u32,
    hopLimit: u32,
    advmss: u32,
    hops: listOf(hop),
  },
  'a route',
);

const rule = openObject(
  {
    ...{ family: required(family), source: address, table: required(u32), priority: required(u32) },
    ...{ action: required(u32), from: prefix, to: prefix, input: string },
    ...{ mark: required(u32), mask: required(u32), inverted: required(boolean) },
    ...{ suppressed: u32, hasMore: required(boolean) },
  },
  'a routing rule',
);

const neighbour = openObject(
  {
    ...{ family: required(family), link: required(u32), address: required(string), mac },
    ...{ state: required(u32), permanent: required(boolean) },
  },
  'a neighbour',
);

const fdbEntry = openObject(
  {
    ...{ link: required(u32), mac: required(mac), remote: address },
    ...{ permanent: required(boolean), self: required(boolean) },
  },
  'a forwarding entry',
);

const firewall = record({
  iptables: listOf(
    record({ family, table: string, variant: oneOf(['nft', 'legacy']), lines: listOf(string) }),
  ),
  nftables: listOf(mapOf(anyValue())),
});

const counters = record({ seconds: u32, before: mapOf(string), after: mapOf(string) });

/** Kernel state of a report by the name of its file. */
export const KERNEL_FILES = {
  'kernel/links.json': listOf(link),
  'kernel/addresses.json': listOf(interfaceAddress),
  'kernel/routes.json': listOf(route),
  'kernel/rules.json': listOf(rule),
  /** The kernel's own answer for each peer: it has path MTUs, which the routes have not. */
  'kernel/peer-routes.json': listOf(record({ address, route })),
  'kernel/neighbours.json': listOf(neighbour),
  'kernel/forwarding.json': listOf(fdbEntry),
  /** Value by name; null for a setting that this kernel does not have. */
  'kernel/sysctls.json': mapOf(nullable(string)),
  'kernel/firewall.json': firewall,
  /** Files of /proc/net at two times. */
  'kernel/counters.json': counters,
  /** `ethtool -k` by device. */
  'kernel/offloads.json': mapOf(mapOf(string)),
  'kernel/system.json': record({
    ...{ kernel: string, architecture: string, node: string, processors: u32 },
    ...{ memoryBytes: integer(0, Number.MAX_SAFE_INTEGER, ''), uptimeSeconds: u32 },
  }),
} as const;

export type KernelFile = keyof typeof KERNEL_FILES;
