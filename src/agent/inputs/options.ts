import { isIP } from 'node:net';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { RipstopError } from '../../base/errors.ts';
import { fail } from '../../base/schema.ts';
import { goPattern } from '../../base/text/go-pattern.ts';
import type { Flags } from '../config/flags.ts';
import type { SettingLayer } from '../config/settings.ts';
import type { ListenAddress } from '../endpoints.ts';
import type { LeaseStore } from '../lease/store.ts';
import { pathsOf } from './paths.ts';
import { publishedAddress } from './underlay.ts';

/** Options of the agent, from its flags; `config/flag-table.ts` describes them. */
export interface AgentOptions {
  /** Path of the network namespace of the node; '' for that of the process. */
  readonly netns: string;
  readonly nodeName: string;
  /** Name of one of several agents on a node; '' for the only one. */
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
  /** Interval of the probes of a peer; 0: no probes. */
  readonly probeMs: number;
  readonly masquerade: boolean;
  readonly fullyRandom: boolean;
  readonly forwardRules: boolean;
  readonly blackhole: boolean;
  readonly trafficManager: 'nftables' | 'iptables' | undefined;
  readonly dataPlane: 'userspace' | 'kernel';
  /** Settings of the data plane from flags and variables. */
  readonly settings: SettingLayer;
  /** Leave inner checksums partial between nodes that agree; only the userspace data plane supports it. */
  readonly remoteChecksum: boolean;
  /** Interval of the trains by which segmentation to a peer is proven; 0: none are sent or answered. */
  readonly proofMs: number;
  readonly tolerateUnknown: boolean;
  /** Maintain firewall and NAT rules. */
  readonly rules: boolean;
  /** Leave devices, routes and neighbours for the next start. */
  readonly keepState: boolean;
  /** End the agent when its first start fails. */
  readonly exitOnFailure: boolean;
  /** Undefined: no web UI. */
  readonly web: WebSettings | undefined;
  /** Where /healthz and /readyz are served; undefined: nowhere. */
  readonly health: ListenAddress | undefined;
  /** Where /metrics is served; undefined: nowhere. */
  readonly metrics: ListenAddress | undefined;
}

/** Where the web UI listens, and what protects it. */
export interface WebSettings extends ListenAddress {
  /** File with the token; empty: a new token per start. */
  readonly tokenFile: string;
  /** Host names besides `localhost` under which browsers may open it. */
  readonly hosts: readonly string[];
}

/** @param netns path of the network namespace; '' for that of the process */
export function agentOptions(flags: Flags, nodeName: string, netns = ''): AgentOptions {
  const group = flags.text('socket-group');
  if (group !== '' && !/^\d+$/.test(group))
    fail('--socket-group', `${JSON.stringify(group)} is not a group number`, 'see `getent group`');
  publishedAddress(flags.text('public-ip'), 4);
  publishedAddress(flags.text('public-ipv6'), 6);
  for (const pattern of flags.list('iface-regex')) goPattern(pattern, '--iface-regex');
  const instance = flags.text('instance');
  const givenFile = flags.text('subnet-file');
  const { stateDir, subnetFile } = pathsOf(instance, flags.text('state-dir'), givenFile);
  // flannel may run on the same node as `ripstop run`: its subnet.env configures the pods.
  const hasOwnFile = flags.text('store') === 'static' && givenFile === '';
  const port = flags.number('healthz-port');
  const webPort = flags.number('web-port');
  const manager = flags.text('traffic-manager');
  return {
    netns,
    nodeName,
    instance,
    stateDir,
    socketGroup: group === '' ? undefined : Number(group),
    subnetFile: hasOwnFile ? join(stateDir, 'subnet.env') : subnetFile,
    iface: flags.list('iface'),
    ifaceRegex: flags.list('iface-regex'),
    ifaceCanReach: flags.text('iface-can-reach'),
    publicIp: flags.text('public-ip'),
    publicIpv6: flags.text('public-ipv6'),
    renewMarginMs: flags.number('subnet-lease-renew-margin') * 60_000,
    resyncMs: flags.number('iptables-resync') * 1000,
    probeMs: flags.number('probe-interval') * 1000,
    proofMs: flags.number('offload-proof-interval') * 1000,
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
  return fail(
    `--${name}`,
    `${JSON.stringify(text)} is not an IP address`,
    '127.0.0.1 for clients on this node, 0.0.0.0 or :: for all addresses',
  );
}

/** `127.0.0.1:9433`, `[::1]:9433`; undefined for ''. @throws RipstopError ECONFIG */
function metricsPlace(text: string): ListenAddress | undefined {
  if (text === '') return undefined;
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text);
  const address = match?.[1] ?? match?.[2] ?? '';
  const port = Number(match?.[3]);
  if (isIP(address) === (match?.[1] ? 6 : 4) && port > 0 && port <= 65535) return { address, port };
  return fail(
    '--metrics-address',
    `${JSON.stringify(text)} is not an IP address and a port`,
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

/** Opens the store that the flags name, and finds the node's name. @throws RipstopError ECONFIG, ESTORE */
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
  const path = flags.text('store-path');
  if ((kind === 'static' || kind === 'file') && !path)
    throw new RipstopError(
      'ECONFIG',
      `--store=${kind} needs --store-path`,
      kind === 'static'
        ? 'the YAML file of this node'
        : 'a directory that all nodes share, or one .json file',
    );
  if (kind === 'static') {
    const { StaticStore } = await import('../store/static/store.ts');
    const store = new StaticStore(path, nodeName);
    return { store, nodeName, netns: store.file.namespace };
  }
  if (kind === 'file') {
    const { FileStore } = await import('../store/file.ts');
    return { store: new FileStore({ path, nodeName }), nodeName, netns: '' };
  }
  const { EtcdStore } = await import('../store/etcd/store.ts');
  const store = new EtcdStore({
    endpoints: flags.list('etcd-endpoints'),
    prefix: flags.text('etcd-prefix'),
    nodeName,
    keyFile: flags.text('etcd-keyfile'),
    certFile: flags.text('etcd-certfile'),
    caFile: flags.text('etcd-cafile'),
    username: flags.text('etcd-username'),
    password: flags.text('etcd-password'),
  });
  return { store, nodeName, netns: '' };
}

function storeKind(flags: Flags): LeaseStore['kind'] {
  const named = flags.text('store');
  if (named !== '') return named as LeaseStore['kind'];
  if (flags.boolean('kube-subnet-mgr')) return 'kubernetes';
  return flags.text('store-path') ? 'file' : 'etcd';
}
