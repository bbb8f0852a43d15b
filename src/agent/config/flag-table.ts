import { LOG_COMPONENTS, LOG_LEVELS } from '../../base/log.ts';
import { SETTING_NAMES, SETTINGS, settingFlag } from './settings.ts';

/** Headings of `--help`, in this order. A command leaves out whole groups. */
export const FLAG_GROUPS = {
  store: 'Lease store',
  etcd: 'etcd',
  kubernetes: 'Kubernetes',
  underlay: 'Underlay',
  rules: 'Firewall rules and routes',
  agent: 'Agent',
  listeners: 'Health, metrics and web UI',
  cni: 'CNI',
  dataPlane: 'Data plane',
  inert: 'Without effect',
} as const;

export type FlagGroup = keyof typeof FLAG_GROUPS;
export type FlagValue = string | number | boolean | readonly string[];

/** How a flag is read. */
interface FlagType {
  readonly kind: 'text' | 'number' | 'boolean' | 'list' | 'repeated';
  readonly fallback: FlagValue;
  readonly doc: string;
  /** For `kind: number`: lowest and highest value. */
  readonly range?: readonly [number, number];
  /** For `kind: text`: the accepted values. */
  readonly words?: readonly string[];
  /** For `kind: repeated`: the variable has several values, separated by commas. */
  readonly splitVariable?: true;
  /** The flag is accepted because flanneld has it; why it has no effect. */
  readonly inert?: string;
}

/** One flag of `ripstop agent`. Reading, `--help` and docs/reference/flags.md are made from the table. */
export interface Flag extends FlagType {
  readonly name: string;
  readonly group: FlagGroup;
  /** Not a flag of flanneld: its variable begins with RIPSTOP_ instead of FLANNELD_. */
  readonly own: boolean;
}

const text = (fallback: string, doc: string): FlagType => ({ kind: 'text', fallback, doc });
const word = (words: readonly string[], fallback: string, doc: string): FlagType => ({
  ...text(fallback, doc),
  words,
});
const boolean = (fallback: boolean, doc: string): FlagType => ({ kind: 'boolean', fallback, doc });
const list = (fallback: readonly string[], doc: string): FlagType => ({ kind: 'list', fallback, doc });
const repeated = (doc: string): FlagType => ({ kind: 'repeated', fallback: [], doc });
const number = (range: readonly [number, number], fallback: number, doc: string): FlagType => ({
  kind: 'number',
  ...{ range, fallback, doc },
});
const inert = (fallback: FlagValue, why: string): FlagType => ({
  kind: typeof fallback === 'boolean' ? 'boolean' : 'text',
  ...{ fallback, doc: 'accepted', inert: why },
});

type Table = Readonly<Partial<Record<FlagGroup, Readonly<Record<string, FlagType>>>>>;

const FLANNELD: Table = {
  etcd: {
    'etcd-endpoints': list(
      ['http://127.0.0.1:4001', 'http://127.0.0.1:2379'],
      'etcd servers, comma separated (API v3)',
    ),
    'etcd-prefix': text('/coreos.com/network', 'root of the keys in etcd'),
    'etcd-keyfile': text('', 'TLS client key for etcd'),
    'etcd-certfile': text('', 'TLS client certificate for etcd'),
    'etcd-cafile': text('', 'certificate of the CA that signed the certificate of etcd'),
    'etcd-username': text('', 'etcd user'),
    'etcd-password': text('', 'password of the etcd user'),
  },
  kubernetes: {
    'kube-subnet-mgr': boolean(false, 'keep the leases in Node objects instead of etcd'),
    'kube-api-url': text('', 'URL of the API server'),
    'kubeconfig-file': text('', 'kubeconfig; without it and the URL, the service account of the pod is used'),
    'kube-annotation-prefix': text('flannel.alpha.coreos.com', 'prefix of the annotations'),
    'net-config-path': text('/etc/kube-flannel/net-conf.json', 'file with the network configuration'),
    'set-node-network-unavailable': boolean(true, 'maintain the condition NetworkUnavailable of the Node'),
  },
  underlay: {
    iface: {
      ...repeated('underlay interface, by name or address; may be repeated'),
      splitVariable: true,
    },
    'iface-regex': repeated(
      "pattern in Go's syntax (RE2) for addresses, then for interface names; tried after --iface",
    ),
    'iface-can-reach': text('', 'use the interface with the route to this address; tried last'),
    'public-ip': text(
      '',
      'IPv4 address that peers send to; bound if an interface has it, otherwise only published (NAT)',
    ),
    'public-ipv6': text(
      '',
      'IPv6 address that peers send to; bound if an interface has it, otherwise only published (NAT)',
    ),
  },
  agent: {
    'subnet-file': text(
      '',
      'file that the CNI plugin reads; empty: /run/flannel/subnet.env, but subnet.env in the state directory with --instance and in ripstop run',
    ),
    v: number([0, 10], 0, 'klog verbosity: 1 means --log-level debug, 4 means trace'),
  },
  store: {
    'subnet-lease-renew-margin': number([1, 1439], 60, 'renew a lease this many minutes before it ends'),
  },
  rules: {
    'ip-masq': boolean(false, 'masquerade traffic that leaves the pod network'),
    'ip-masq-fully-random-disable': boolean(false, 'do not randomize source ports when masquerading'),
    'iptables-resync': number([1, 3600], 5, 'seconds between two checks of rules and kernel state'),
    'iptables-forward-rules': boolean(true, 'accept forwarded pod traffic'),
    'ip-blackhole-route': boolean(false, 'add a blackhole route for the subnet of this node'),
  },
  listeners: {
    'healthz-ip': text('127.0.0.1', 'IP address of /healthz and /readyz'),
    'healthz-port': number([0, 65535], 0, 'port of /healthz and /readyz; 0 disables them'),
  },
  inert: {
    vmodule: inert('', 'klog’s; use --log-level'),
    log_backtrace_at: inert('', 'klog’s; use --log-level'),
    logtostderr: inert(true, 'logs always go to standard error'),
    alsologtostderr: inert(true, 'logs always go to standard error'),
  },
};

const OWN: Table = {
  store: {
    store: word(
      ['', 'file', 'etcd', 'kubernetes', 'static'],
      '',
      'file, etcd, kubernetes or static; empty: kubernetes with --kube-subnet-mgr, file with --store-path, otherwise etcd',
    ),
    'store-path': text(
      '',
      'file store: shared directory, or one .json file; static store: YAML file of this node',
    ),
    'tolerate-unknown-keys': boolean(false, 'ignore unknown keys of the network configuration'),
  },
  dataPlane: {
    'data-plane': word(
      ['userspace', 'kernel'],
      'userspace',
      'userspace: Ripstop carries vxlan; kernel: the kernel’s VXLAN device does',
    ),
    'remote-checksum': boolean(
      true,
      'leave inner checksums partial between nodes whose leases both announce it (vxlan)',
    ),
  },
  rules: {
    'traffic-manager': word(
      ['', 'nftables', 'iptables'],
      '',
      'nftables or iptables; empty: iptables if EnableNFTables is false, otherwise nftables',
    ),
    rules: boolean(true, 'maintain firewall and NAT rules'),
  },
  agent: {
    'keep-state': boolean(true, 'keep devices, routes and neighbours at the end, for the next start'),
    'exit-on-failure': boolean(false, 'exit when the first start fails instead of retrying'),
    'node-name': text('', 'name of this node; empty: $NODE_NAME, otherwise the host name'),
    'state-dir': text(
      '',
      'directory of the agent’s socket and saved state; empty: /run/ripstop, with --instance /run/ripstop-NAME',
    ),
    instance: text(
      '',
      'name of this agent where a node runs one agent per network; keeps their state and rules apart',
    ),
    'socket-group': text('', 'numeric group that may use the agent’s socket; empty: only root'),
    'log-level': text(
      'info',
      `lowest level that is logged (${LOG_LEVELS.join(', ')}), and those of single components (${LOG_COMPONENTS.join(', ')}): info,store=debug`,
    ),
    'log-format': word(
      ['auto', 'text', 'json'],
      'auto',
      'text or json; auto: text on a terminal and in the journal, json elsewhere',
    ),
  },
  underlay: {
    'probe-interval': number(
      [0, 3600],
      10,
      'interval of the peer probes (one through the tunnel, one over the underlay) in seconds; 0 disables them',
    ),
    'offload-proof-interval': number(
      [0, 86_400],
      3600,
      'interval of the trains by which segmentation offload to each Ripstop peer is proven, in seconds; 0: send and answer none',
    ),
  },
  listeners: {
    'web-ip': text(
      '127.0.0.1',
      'IP address of the web UI; an address that is not loopback needs --web-token-file',
    ),
    'web-port': number([0, 65535], 8473, 'port of the web UI; 0 disables it'),
    'web-token-file': text(
      '',
      'file with the token of the web UI; empty: a new token at each start, which `ripstop ui` prints',
    ),
    'web-host': list([], 'host names besides localhost under which browsers may open the web UI'),
    'metrics-address': text(
      '',
      'IP address and port of /metrics, as in 127.0.0.1:9433 or [::1]:9433; empty: not served',
    ),
  },
  cni: {
    cni: boolean(true, 'serve CNI requests on cni.sock in the state directory'),
    'cni-calls-dir': text(
      '/var/lib/cni/ripstop/calls',
      'directory of the CNI calls (DEL, GC) that the executables recorded while no agent answered',
    ),
  },
};

/** Settings of the data plane. Without the flag, the static file or the cluster may give the value. */
function settingFlags(): Record<string, FlagType> {
  const flags: Record<string, FlagType> = {};
  for (const name of SETTING_NAMES) {
    const { fallback, range, words, doc } = SETTINGS[name];
    flags[settingFlag(name)] =
      typeof fallback === 'boolean'
        ? boolean(fallback, doc)
        : typeof fallback === 'number'
          ? number(range!, fallback, doc)
          : word(words!, fallback, doc);
  }
  return flags;
}

function rows(table: Table, own: boolean): Flag[] {
  return Object.entries(table).flatMap(([group, flags]) =>
    Object.entries(flags).map(([name, flag]) => ({ name, group: group as FlagGroup, own, ...flag })),
  );
}

/** The flags of flanneld, then those of Ripstop. */
export const FLAGS: readonly Flag[] = [
  ...rows(FLANNELD, false),
  ...rows(OWN, true),
  ...rows({ dataPlane: settingFlags() }, true),
];
