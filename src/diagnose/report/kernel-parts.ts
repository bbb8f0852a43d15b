import { cpus, release, totalmem, uptime } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../../base/errors.ts';
import { runCommand } from '../../net/command.ts';
import { isNetError } from '../../net/error.ts';
import { readFilterSources } from '../../net/filter/filter-tables.ts';
import { listAddresses } from '../../net/rtnetlink/addresses.ts';
import { listFdb } from '../../net/rtnetlink/fdb.ts';
import { isLinkName, listLinks } from '../../net/rtnetlink/links.ts';
import { listNeighbours } from '../../net/rtnetlink/neighbours.ts';
import { listRoutes, routeTo } from '../../net/rtnetlink/routes.ts';
import { listRules } from '../../net/rtnetlink/rules.ts';
import { type NetlinkSocket, withSocket } from '../../net/rtnetlink/socket.ts';
import { readNamespaceFile, readSysctl } from '../../net/sysctl.ts';
import type { KernelFile } from './kernel-shapes.ts';
import { withoutComments } from './rule-texts.ts';

/** What the parts of the kernel depend on. */
export interface KernelContext {
  /** Path of the network namespace, '' for that of this process. */
  readonly netns: string;
  /** Underlay addresses of the peers. */
  readonly peers: readonly string[];
  /** Devices whose offloads are shown. */
  readonly devices: readonly string[];
  /** Time between the two readings of the counters. */
  readonly seconds: number;
}

const ETHTOOL_MS = 15_000;
/** All tables of iptables. */
const IPTABLES = ['filter', 'nat', 'mangle', 'raw', 'security'];
/** Files of /proc/net with counters, as this namespace has them. */
const COUNTERS = ['dev', 'snmp', 'snmp6', 'netstat', 'softnet_stat', 'sockstat'];
const SYSCTLS = [
  ...['net/ipv4/ip_forward', 'net/ipv4/ip_local_port_range', 'net/ipv4/ip_no_pmtu_disc'],
  ...['net/ipv4/tcp_mtu_probing', 'net/ipv4/udp_mem', 'net/ipv4/ping_group_range'],
  ...['net/core/rmem_max', 'net/core/rmem_default', 'net/core/wmem_max', 'net/core/netdev_max_backlog'],
  ...['net/core/netdev_budget', 'net/core/busy_poll', 'net/core/bpf_jit_enable'],
  ...['net/bridge/bridge-nf-call-iptables', 'net/bridge/bridge-nf-call-ip6tables'],
  ...['net/netfilter/nf_conntrack_max', 'net/netfilter/nf_conntrack_count'],
  ...['net/ipv6/conf/all/forwarding', 'net/ipv6/conf/all/disable_ipv6'],
  ...['1', '2', '3'].flatMap(n => [4, 6].map(family => `net/ipv${family}/neigh/default/gc_thresh${n}`)),
];
/** Settings of each interface. */
const OF_INTERFACES = ['ipv4/conf/NAME/rp_filter', 'ipv4/conf/NAME/forwarding', 'ipv6/conf/NAME/forwarding'];

const listed =
  (list: (socket: NetlinkSocket) => unknown) =>
  ({ netns }: KernelContext) =>
    withSocket(netns, list);

/** How each file of the kernel is made. The fields of the files leave out what a report must not have. */
export const KERNEL_PARTS: Readonly<Record<KernelFile, (context: KernelContext) => unknown>> = {
  'kernel/links.json': listed(listLinks),
  'kernel/addresses.json': listed(listAddresses),
  'kernel/routes.json': listed(listRoutes),
  'kernel/rules.json': listed(listRules),
  'kernel/peer-routes.json': ({ netns, peers }) => withSocket(netns, socket => peerRoutes(socket, peers)),
  'kernel/neighbours.json': listed(listNeighbours),
  'kernel/forwarding.json': listed(listFdb),
  'kernel/sysctls.json': ({ netns }) => sysctls(netns),
  'kernel/firewall.json': async ({ netns }) => withoutComments(await readFilterSources(netns, IPTABLES)),
  'kernel/counters.json': ({ netns, seconds }) => counters(netns, seconds),
  'kernel/offloads.json': ({ netns, devices }) => offloads(netns, devices),
  'kernel/system.json': () => ({
    ...{ kernel: release(), architecture: process.arch, node: process.versions.node },
    ...{ processors: cpus().length, memoryBytes: totalmem(), uptimeSeconds: Math.round(uptime()) },
  }),
};

function peerRoutes(socket: NetlinkSocket, peers: readonly string[]): unknown[] {
  return peers.flatMap(address => {
    try {
      return [{ address, route: routeTo(socket, address) }];
    } catch (error) {
      // A trace finds the reason in the routes.
      if (isNetError(error)) return [];
      throw error;
    }
  });
}

function sysctls(netns: string): Record<string, string | null> {
  const links = withSocket(netns, listLinks).map(({ name }) => name);
  const ofInterfaces = ['all', 'default', ...links].flatMap(name =>
    OF_INTERFACES.map(setting => `net/${setting.replace('NAME', name)}`),
  );
  return Object.fromEntries(
    [...SYSCTLS, ...ofInterfaces].map(name => [name, unlessMissing(() => readSysctl(netns, name))]),
  );
}

async function counters(netns: string, seconds: number): Promise<object> {
  const read = () =>
    Object.fromEntries(
      COUNTERS.flatMap(file => {
        const text = unlessMissing(() => readNamespaceFile(netns, `/proc/thread-self/net/${file}`));
        return text === null ? [] : [[file, text]];
      }),
    );
  const before = read();
  await sleep(seconds * 1000);
  return { seconds, before, after: read() };
}

/** What is not there, as a sysctl of IPv6 on a node without it, is null. */
function unlessMissing(read: () => string): string | null {
  try {
    return read();
  } catch (error) {
    if (isNetError(error, 'ENOENT')) return null;
    throw error;
  }
}

/** Features of `ethtool -k` by device; the reason under `error` for a device without. */
async function offloads(
  netns: string,
  devices: readonly string[],
): Promise<Record<string, Record<string, string>>> {
  const found: Record<string, Record<string, string>> = {};
  let fault: unknown;
  for (const device of devices.filter(name => isLinkName(name) && !name.startsWith('-')))
    try {
      const { stdout } = await runCommand('ethtool', ['-k', device], { netns, timeoutMs: ETHTOOL_MS });
      const features = stdout.matchAll(/^\s*([a-z0-9-]+): (on|off)( \[[\w ]+\])?$/gm);
      found[device] = Object.fromEntries(
        Array.from(features, ([, name = '', state, note = '']) => [name, `${state}${note}`]),
      );
    } catch (error) {
      fault = error;
      found[device] = { error: messageOf(error) };
    }
  if (fault !== undefined && Object.values(found).every(one => 'error' in one)) throw fault;
  return found;
}
