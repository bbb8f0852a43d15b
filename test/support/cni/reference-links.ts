import { existsSync } from 'node:fs';
import { attempt } from '../../../bench/lab/command.ts';
import type { Namespace } from '../../../bench/lab/namespace.ts';
import { ALL_VERSIONS, isAtLeast } from '../../../src/cni/skel/version.ts';
import type { Shown } from '../agents/kernel.ts';
import type { CniNode } from './cni.ts';

/*
 * Compares the interfaces of Ripstop's plugins with those of the reference plugins (Debian's containernetworking-plugins)
 * for the same configuration. `observe` only looks, and its record is plain JSON: it also runs in a guest.
 */

export const REFERENCE = '/usr/lib/cni';
const MASTER = 'up0';

export interface Case {
  readonly name: string;
  /** What the kernel must be able to make, as a line of iproute2 after `ip link add`; and how people call that. */
  readonly takes: readonly [string, string];
  readonly config: { readonly type: string; readonly [key: string]: unknown };
  /** Lines of iproute2 in the node's namespace before anything else. */
  readonly prepare: readonly string[];
}

/** Everything that a plugin makes, as iproute2 tells it. */
export type Picture = Record<string, Shown[]>;

export interface Observed {
  readonly theirs: Picture;
  readonly ours: Picture;
  readonly answer: Shown;
  readonly add: Shown;
  /** MAC of our interface. */
  readonly mac: string;
  /** What CHECK, DEL and DEL again said; empty when content. */
  readonly said: Record<string, string>;
  /** Names of all links: of the node at first and at last, and of the pod at last. */
  readonly links: { readonly before: string; readonly after: string; readonly pod: string };
  /** Life of a pod in every version, for the first case of a plugin: what each call said that was not to its liking. */
  readonly versions: Record<string, string[]>;
}

const onDummy = (link: string, name: string): readonly [string, string] => [
  `link d0 name x type ${link}`,
  `${name} and dummy`,
];
const dummy = [`link add ${MASTER} type dummy`, `link set ${MASTER} up`];
const veth = [
  `link add ${MASTER} type veth peer name up1`,
  `link set ${MASTER} up`,
  'link set up1 up',
  `addr add 192.0.2.1/24 dev ${MASTER}`,
  'route add default via 192.0.2.2',
];

export const CASES: readonly Case[] = [
  ...['l2', 'l3', 'l3s'].map(mode => ({
    name: `ipvlan ${mode} on a dummy`,
    takes: onDummy(`ipvlan mode ${mode}`, 'ipvlan'),
    config: { type: 'ipvlan', master: MASTER, mode },
    prepare: dummy,
  })),
  {
    name: 'ipvlan on the device of the default route, own MTU',
    takes: onDummy('ipvlan', 'ipvlan'),
    config: { type: 'ipvlan', mtu: 1300 },
    prepare: veth,
  },
  {
    name: 'vlan on a dummy',
    takes: onDummy('vlan id 5', '8021q'),
    config: { type: 'vlan', master: MASTER, vlanId: 4094 },
    prepare: dummy,
  },
  {
    name: 'vlan on a veth, own MTU',
    takes: onDummy('vlan id 5', '8021q'),
    config: { type: 'vlan', master: MASTER, vlanId: 7, mtu: 1400 },
    prepare: veth,
  },
  ...['bridge', 'private', 'vepa'].map(mode => ({
    name: `macvlan ${mode} on a dummy`,
    takes: onDummy(`macvlan mode ${mode}`, 'macvlan'),
    config: { type: 'macvlan', master: MASTER, mode, mtu: 1400 },
    prepare: dummy,
  })),
  {
    name: 'bridge with a VLAN',
    takes: ['x type bridge vlan_filtering 1', 'VLAN filtering of bridges'],
    config: { type: 'bridge', vlan: 100 },
    prepare: [],
  },
  {
    name: 'bridge as gateway, hairpin',
    takes: ['x type bridge', 'bridge'],
    config: { type: 'bridge', isDefaultGateway: true, hairpinMode: true, mtu: 1400 },
    prepare: [],
  },
  {
    name: 'bridge, promiscuous, without gateway',
    takes: ['x type bridge', 'bridge'],
    config: { type: 'bridge', promiscMode: true },
    prepare: [],
  },
  { name: 'ptp', takes: ['x type veth', 'veth'], config: { type: 'ptp', mtu: 1400 }, prepare: [] },
];

/** What this kernel lacks for a case, in words, or undefined. */
export function lacking({ takes: [link, name] }: Case): string | undefined {
  const dummyFirst = link.startsWith('link d0') ? 'ip link add d0 type dummy && ' : '';
  const { code } = attempt(['unshare', '--net', 'sh', '-c', `${dummyFirst}ip link add ${link}`]);
  return code === 0 ? undefined : name;
}

/** The rooms of all cases: what one leaves behind, the next one shows. */
export interface Rooms {
  readonly lab: CniNode;
  readonly theirs: Namespace;
  readonly ours: Namespace;
}

/** Runs a case with the reference, then with ours; also after an error the rooms are empty again. */
export async function observe(rooms: Rooms, wanted: Case): Promise<Observed> {
  try {
    return await run(rooms, wanted);
  } catch (error) {
    for (const [ns, link] of [
      [rooms.theirs, 'eth0'],
      [rooms.ours, 'eth0'],
      [rooms.lab.node, 'cni0'],
      [rooms.lab.node, MASTER],
    ] as const)
      attempt(['ip', '-n', ns.name, 'link', 'delete', link]);
    throw error;
  }
}

async function run({ lab, theirs, ours }: Rooms, one: Case): Promise<Observed> {
  const { config, prepare } = one;
  // What versions have of their own does not depend on modes: once for a plugin.
  const firstOfType = CASES.find(({ config: { type } }) => type === config.type) === one;
  if (prepare.length > 0) lab.node.ip(...prepare);
  const before = linkNames(lab.node);
  const wanted = (who: string, cniVersion = '1.0.0') => ({
    cniVersion,
    name: 'net',
    ...config,
    ipam: {
      type: 'host-local',
      ranges: [[{ subnet: '10.1.0.0/24' }], [{ subnet: 'fd00:1::/64' }]],
      routes: [{ dst: '10.9.0.0/16' }, { dst: 'fd00:9::/48' }],
      dataDir: `${lab.scratch}/${config.type}-${who}-${Math.random()}`,
    },
  });
  const network = wanted('theirs');
  const reference = (command: string) =>
    lab.node.must(
      [
        ...['env', `CNI_COMMAND=${command}`, `CNI_NETNS=${theirs.path}`, 'CNI_CONTAINERID=theirs'],
        ...['CNI_IFNAME=eth0', `CNI_PATH=${REFERENCE}`, `${REFERENCE}/${config.type}`],
      ],
      JSON.stringify(network),
    );
  const answer = JSON.parse(reference('ADD'));
  const expected = picture(lab.node, theirs);
  reference('DEL');
  withoutBridge(lab.node);

  const own = wanted('ours');
  const added = await lab.call('ADD', own, { pod: ours });
  if (added.status !== 0) throw new Error(`ADD: ${added.text}`);
  const found = picture(lab.node, ours);
  const previous = { ...own, prevResult: added.json };
  const said: Record<string, string> = {};
  for (const [name, command] of Object.entries({ CHECK: 'CHECK', DEL: 'DEL', 'DEL again': 'DEL' }))
    said[name] = (await lab.call(command, previous, { pod: ours })).text;
  withoutBridge(lab.node);
  const observed = {
    theirs: expected,
    ours: found,
    answer,
    add: added.json,
    mac: found.macs![0],
    said,
    links: { before, after: linkNames(lab.node), pod: linkNames(ours) },
    versions: firstOfType ? await everyVersion(lab, ours, version => wanted(version, version)) : {},
  };
  withoutBridge(lab.node);
  if (prepare.length > 0) lab.node.ip(`link delete ${MASTER}`);
  return observed;
}

async function everyVersion(
  lab: CniNode,
  pod: Namespace,
  wanted: (version: string) => { type: string },
): Promise<Record<string, string[]>> {
  const faults: Record<string, string[]> = {};
  for (const version of ALL_VERSIONS) {
    const config = wanted(version);
    const add = await lab.call('ADD', config, { pod });
    const previous = { ...config, prevResult: add.json };
    const commands = ['CHECK', 'DEL', 'DEL'].filter(
      command => command !== 'CHECK' || isAtLeast(version, '0.4.0'),
    );
    faults[version] = add.status === 0 ? [] : [add.text];
    for (const command of commands) {
      const { text } = await lab.call(command, previous, { pod });
      if (text !== '') faults[version].push(`${command}: ${text}`);
    }
  }
  return faults;
}

/** Numbers, addresses and running clocks: they differ between any two interfaces. */
const ALWAYS_DIFFER =
  /^(ifindex|link_index|link_netnsid|link|address|permaddr|bridge_id|root_id|designated_bridge|\w+_timer)$/;
/**
 * Where we differ on purpose. GC finds an interface by its alias. Debian's version of the reference writes a queue length
 * of 0 that later ones do not. An address of `ptp` comes without the kernel's route to its prefix (and without broadcast
 * address and duplicate detection, which have no meaning on that link), while the reference lets the kernel make the
 * route and deletes it; what matters, the routes, is compared.
 */
const ON_PURPOSE = /^(ifalias|txqlen|noprefixroute|nodad|broadcast)$/;

function picture(node: Namespace, pod: Namespace): Picture {
  const [addresses, routes4] = shown(pod, 'addr show eth0\nroute');
  const [links, nodeRoutes] = shown(node, 'link\nroute');
  const bridges = links!.some((link: Shown) => link.linkinfo?.info_kind === 'bridge');
  const bridge = (...words: string[]) =>
    bridges ? attempt(['bridge', '-n', node.name, ...words]).stdout.trim() : '';
  const plain = {
    interface: addresses!,
    routes4: routes4!,
    routes6: shown(pod, 'route', '-6')[0]!,
    'links of the node': links!.filter((link: Shown) => link.ifname !== 'lo'),
    'routes of the node': nodeRoutes!,
    'ports of the bridge': JSON.parse(bridge('-d', '-j', 'link') || '[]'),
    'VLANs of the bridge': bridge('vlan')
      .replace(/^veth[0-9a-f]{8}/gm, 'veth')
      .split('\n'),
  };
  return { ...(withoutOwn(plain) as Picture), macs: addresses!.map((link: Shown) => link.address) };
}

/** Lines of iproute2 in one process: an array of objects for each. */
function shown(ns: Namespace, lines: string, ...flags: string[]): Shown[][] {
  const { stdout } = attempt(['ip', '-n', ns.name, ...flags, '-d', '-j', '-batch', '-'], lines);
  return stdout
    .trim()
    .split('\n')
    .map(line => JSON.parse(line || '[]').filter((object: object) => Object.keys(object).length > 0));
}

/** Without what always differs or differs on purpose, without what grows out of a MAC, random names replaced. */
function withoutOwn(value: Shown): Shown {
  if (Array.isArray(value)) return value.filter(one => !isLinkLocal(one)).map(withoutOwn);
  // The kernel finds out about a carrier on its own time; `UNKNOWN` is `UP` a moment before.
  if (value === 'UNKNOWN') return 'UP';
  if (typeof value === 'string') return value.replace(/^veth[0-9a-f]{8}$/, 'veth');
  if (typeof value !== 'object' || value === null) return value;
  const kept = Object.entries(value).filter(([key]) => !ALWAYS_DIFFER.test(key) && !ON_PURPOSE.test(key));
  return Object.fromEntries(kept.map(([key, part]) => [key, withoutOwn(part)]));
}

const isLinkLocal = (one: Shown) => `${one?.local ?? one?.dst ?? ''}`.startsWith('fe80:');
const linkNames = (ns: Namespace) => ns.ip('link').replace(/^\d+: ([^:@]+).*\n.*$/gm, '$1');

/** A bridge stays when its last pod goes; for the next case it must be new. */
function withoutBridge(node: Namespace): void {
  if (existsSync(node.path)) attempt(['ip', '-n', node.name, 'link', 'delete', 'cni0']);
}
