import { isIP } from 'node:net';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { RipstopError } from '../../base/errors.ts';
import type { Flags } from '../config/flags.ts';
import type { SettingLayer } from '../config/settings.ts';
import type { ListenAddress } from '../endpoints.ts';
import type { LeaseStore } from '../lease/store.ts';
import { ifacePattern, publishedAddress } from './underlay.ts';

/** What the agent does, from the flags; see `config/flag-table.ts` for each. */
export interface AgentOptions {
  /** Path of the network namespace to work in; '' for this process's own. */
  readonly netns: string;
  readonly nodeName: string;
  /** Tells the agents of several networks on one node apart; '' where there is one. */
  readonly instance: string;
  readonly stateDir: string;
  readonly socketGroup: number | undefined;
  readonly subnetFile: string;
  readonly iface: readonly string[];
  readonly ifaceRegex: readonly string[];
  readonly ifaceCanReach: string;
  readonly publicIp: string;
  readonly publicIpv6: string;
  readonly renewMarginMs: number;
  readonly resyncMs: number;
  /** Time between two probes of a peer; 0: none. */
  readonly probeMs: number;
  readonly masquerade: boolean;
  readonly fullyRandom: boolean;
  readonly forwardRules: boolean;
  readonly blackhole: boolean;
  readonly trafficManager: 'nftables' | 'iptables' | undefined;
  readonly dataPlane: 'userspace' | 'kernel';
  /** Settings of the data plane that flags and variables give. */
  readonly settings: SettingLayer;
  /** Leave inner checksums open between nodes that agree; only our own data plane can. */
  readonly remoteChecksum: boolean;
  readonly tolerateUnknown: boolean;
  /** Maintain firewall and NAT rules. */
  readonly rules: boolean;
  /** Devices, routes and neighbours stay at the end, for the next start. */
  readonly keepState: boolean;
  /** A first start that fails ends the agent. */
  readonly exitOnFailure: boolean;
  /** Undefined: no web UI. */
  readonly web: WebSettings | undefined;
  /** Where /healthz and /readyz are served; undefined: nowhere. */
  readonly health: ListenAddress | undefined;
  /** Where /metrics is served; undefined: nowhere. */
  readonly metrics: ListenAddress | undefined;
}

/** Where the web UI listens, and who may use it. */
export interface WebSettings extends ListenAddress {
  /** File with the token; empty: a new token at each start. */
  readonly tokenFile: string;
  /** Names besides `localhost` under which browsers may open it. */
  readonly hosts: readonly string[];
}

/** @param netns path of the network namespace that the store names; '' for that of the process */
export function agentOptions(flags: Flags, nodeName: string, netns = ''): AgentOptions {
  const group = flags.text('socket-group');
  if (group !== '' && !/^\d+$/.test(group))
    throw new RipstopError(
      'ECONFIG',
      `--socket-group: ${JSON.stringify(group)} is not a group number`,
      'see `getent group`',
    );
  publishedAddress(flags.text('public-ip'), 4);
  publishedAddress(flags.text('public-ipv6'), 6);
  for (const pattern of flags.list('iface-regex')) ifacePattern(pattern);
  const instance = readInstance(flags.text('instance'));
  const stateDir = stateDirOf(flags.text('state-dir'), instance);
  // A node of a static file may run beside flannel: its subnet.env is not the one that pods are wired by.
  const isStatic = flags.text('store') === 'static';
  const port = flags.number('healthz-port');
  const webPort = flags.number('web-port');
  const manager = flags.text('traffic-manager');
  return {
    netns,
    nodeName,
    instance,
    stateDir,
    socketGroup: group === '' ? undefined : Number(group),
    subnetFile: subnetFileOf(flags.text('subnet-file'), isStatic ? 'static' : instance, stateDir),
    iface: flags.list('iface'),
    ifaceRegex: flags.list('iface-regex'),
    ifaceCanReach: flags.text('iface-can-reach'),
    publicIp: flags.text('public-ip'),
    publicIpv6: flags.text('public-ipv6'),
    renewMarginMs: flags.number('subnet-lease-renew-margin') * 60_000,
    resyncMs: flags.number('iptables-resync') * 1000,
    probeMs: flags.number('probe-interval') * 1000,
    masquerade: flags.boolean('ip-masq'),
    fullyRandom: !flags.boolean('ip-masq-fully-random-disable'),
    forwardRules: flags.boolean('iptables-forward-rules'),
    blackhole: flags.boolean('ip-blackhole-route'),
    trafficManager: manager === '' ? undefined : (manager as 'nftables' | 'iptables'),
    dataPlane: flags.text('data-plane') as 'userspace' | 'kernel',
    settings: flags.settings,
    rules: flags.boolean('rules'),
    keepState: flags.boolean('keep-state'),
    exitOnFailure: flags.boolean('exit-on-failure'),
    remoteChecksum: flags.boolean('remote-checksum') && flags.text('data-plane') === 'userspace',
    tolerateUnknown: flags.boolean('tolerate-unknown-keys'),
    web: webPort === 0 ? undefined : webSettings(flags, webPort),
    health: port === 0 ? undefined : { address: listenAddress(flags, 'healthz-ip'), port },
    metrics: metricsPlace(flags.text('metrics-address')),
  };
}

/** @throws RipstopError ECONFIG */
function listenAddress(flags: Flags, name: string): string {
  const text = flags.text(name);
  if (isIP(text) !== 0) return text;
  throw new RipstopError(
    'ECONFIG',
    `--${name}: ${JSON.stringify(text)} is not an IP address`,
    '127.0.0.1 for clients on this node, 0.0.0.0 or :: for all addresses',
  );
}

/** `127.0.0.1:9433`, `[::1]:9433`; undefined for ''. @throws RipstopError ECONFIG */
export function metricsPlace(text: string): ListenAddress | undefined {
  if (text === '') return undefined;
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text);
  const address = match?.[1] ?? match?.[2] ?? '';
  const port = Number(match?.[3]);
  if (isIP(address) === (match?.[1] ? 6 : 4) && port > 0 && port <= 65535) return { address, port };
  throw new RipstopError(
    'ECONFIG',
    `--metrics-address: ${JSON.stringify(text)} is not an IP address and a port`,
    'as in 127.0.0.1:9433, [::1]:9433, or 0.0.0.0:9433 for all IPv4 addresses',
  );
}

function webSettings(flags: Flags, port: number): WebSettings {
  return {
    address: listenAddress(flags, 'web-ip'),
    port,
    tokenFile: flags.text('web-token-file'),
    hosts: flags.list('web-host').map(name => name.toLowerCase()),
  };
}

/** Chains of iptables have 28 characters at most. @throws RipstopError ECONFIG */
export function readInstance(text: string): string {
  if (/^([a-z][a-z0-9]{0,7})?$/.test(text)) return text;
  throw new RipstopError(
    'ECONFIG',
    `--instance: ${JSON.stringify(text)}: take a letter and up to seven of a-z and 0-9`,
  );
}

/** Each instance has its own. */
export function stateDirOf(given: string, instance: string): string {
  return given || (instance === '' ? '/run/ripstop' : `/run/ripstop-${instance}`);
}

/** Flannel's, which the CNI plugin looks for; an instance has its own, and the plugin's configuration names it. */
export function subnetFileOf(given: string, instance: string, stateDir: string): string {
  return given || (instance === '' ? '/run/flannel/subnet.env' : join(stateDir, 'subnet.env'));
}

/** Opens the store that the flags name, loading no other one, and finds the node's name. @throws RipstopError ECONFIG, ESTORE */
export async function openStore(
  flags: Flags,
  env: Readonly<Record<string, string | undefined>>,
): Promise<{ store: LeaseStore; nodeName: string; netns: string }> {
  const kind = storeKind(flags);
  const given = flags.text('node-name');
  if (kind === 'kubernetes') {
    const { findAccess } = await import('../store/kube/access.ts');
    const { KubeStore } = await import('../store/kube/store.ts');
    const access = findAccess(flags.text('kube-api-url'), flags.text('kubeconfig-file'), env);
    const nodeName = given || (await KubeStore.nodeName(access, env));
    const store = new KubeStore({
      access,
      nodeName,
      annotationPrefix: flags.text('kube-annotation-prefix'),
      configPath: flags.text('net-config-path'),
      setCondition: flags.boolean('set-node-network-unavailable'),
    });
    return { store, nodeName, netns: '' };
  }
  const nodeName = given || env.NODE_NAME || hostname();
  if (kind === 'static') {
    const path = flags.text('store-path');
    if (!path)
      throw new RipstopError('ECONFIG', '--store=static needs --store-path', 'the YAML file of this node');
    const { StaticStore } = await import('../store/static/store.ts');
    const store = new StaticStore(path, nodeName);
    return { store, nodeName, netns: store.file.namespace };
  }
  if (kind === 'file') {
    const path = flags.text('store-path');
    if (!path)
      throw new RipstopError(
        'ECONFIG',
        '--store=file needs --store-path',
        'a directory that all nodes share, or one .json file',
      );
    const { FileStore } = await import('../store/file.ts');
    return { store: new FileStore({ path, nodeName }), nodeName, netns: '' };
  }
  const { EtcdStore } = await import('../store/etcd/store.ts');
  const store = new EtcdStore({
    endpoints: flags.list('etcd-endpoints'),
    prefix: flags.text('etcd-prefix'),
    nodeName,
    ...optional('keyFile', flags.text('etcd-keyfile')),
    ...optional('certFile', flags.text('etcd-certfile')),
    ...optional('caFile', flags.text('etcd-cafile')),
    ...optional('username', flags.text('etcd-username')),
    ...optional('password', flags.text('etcd-password')),
  });
  return { store, nodeName, netns: '' };
}

function storeKind(flags: Flags): LeaseStore['kind'] {
  const named = flags.text('store');
  if (named !== '') return named as LeaseStore['kind'];
  if (flags.boolean('kube-subnet-mgr')) return 'kubernetes';
  return flags.text('store-path') ? 'file' : 'etcd';
}

function optional<K extends string>(key: K, value: string): Partial<Record<K, string>> {
  return value === '' ? {} : ({ [key]: value } as Partial<Record<K, string>>);
}
