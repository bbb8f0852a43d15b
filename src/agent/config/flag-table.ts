import { SETTING_NAMES, SETTINGS, type SettingName, settingFlag } from './settings.ts';

/** How the text of a flag becomes a value. */
export type FlagKind = 'text' | 'number' | 'boolean' | 'list' | 'repeated';

/** One flag of `ripstop agent`: reading, `--help` and the documentation are made from the table. */
export interface Flag {
  readonly name: string;
  readonly kind: FlagKind;
  readonly fallback: string | number | boolean | readonly string[];
  readonly doc: string;
  /** For `kind: number`: lowest and highest value. */
  readonly range?: readonly [number, number];
  /** For `kind: text`: the only words that are right. */
  readonly words?: readonly string[];
  /** Accepted because flanneld has it; why it has no effect. */
  readonly inert?: string;
  /** Ours, not flanneld's: its variable is RIPSTOP_ instead of FLANNELD_. */
  readonly own?: boolean;
}

const ENDPOINTS = ['http://127.0.0.1:4001', 'http://127.0.0.1:2379'];
const KLOG = 'klog’s; use --log-level';

/** flanneld's flags under the same names, then ours. */
export const FLAGS: readonly Flag[] = [
  {
    name: 'etcd-endpoints',
    kind: 'list',
    fallback: ENDPOINTS,
    doc: 'etcd servers, comma separated (API v3)',
  },
  { name: 'etcd-prefix', kind: 'text', fallback: '/coreos.com/network', doc: 'root of the keys in etcd' },
  { name: 'etcd-keyfile', kind: 'text', fallback: '', doc: 'TLS key towards etcd' },
  { name: 'etcd-certfile', kind: 'text', fallback: '', doc: 'TLS certificate towards etcd' },
  { name: 'etcd-cafile', kind: 'text', fallback: '', doc: 'CA that signed etcd’s certificate' },
  { name: 'etcd-username', kind: 'text', fallback: '', doc: 'user of etcd' },
  { name: 'etcd-password', kind: 'text', fallback: '', doc: 'password of that user' },
  {
    name: 'kube-subnet-mgr',
    kind: 'boolean',
    fallback: false,
    doc: 'take leases from Node objects, no etcd',
  },
  { name: 'kube-api-url', kind: 'text', fallback: '', doc: 'URL of the API server' },
  {
    name: 'kubeconfig-file',
    kind: 'text',
    fallback: '',
    doc: 'kubeconfig; neither this nor the URL: in-cluster',
  },
  {
    name: 'kube-annotation-prefix',
    kind: 'text',
    fallback: 'flannel.alpha.coreos.com',
    doc: 'prefix of the annotations',
  },
  {
    name: 'net-config-path',
    kind: 'text',
    fallback: '/etc/kube-flannel/net-conf.json',
    doc: 'network configuration (kubernetes)',
  },
  {
    name: 'iface',
    kind: 'repeated',
    fallback: [],
    doc: 'underlay interface, by name or address; may be repeated',
  },
  {
    name: 'iface-regex',
    kind: 'repeated',
    fallback: [],
    doc: 'pattern for addresses, then for names; after --iface',
  },
  {
    name: 'iface-can-reach',
    kind: 'text',
    fallback: '',
    doc: 'the interface with the route to this address; last',
  },
  {
    name: 'public-ip',
    kind: 'text',
    fallback: '',
    doc: 'IPv4 address that peers send to; bound if an interface has it, else only published (NAT)',
  },
  {
    name: 'public-ipv6',
    kind: 'text',
    fallback: '',
    doc: 'IPv6 address that peers send to; bound if an interface has it, else only published (NAT)',
  },
  {
    name: 'subnet-file',
    kind: 'text',
    fallback: '',
    doc: 'what the CNI plugin reads; empty: /run/flannel/subnet.env, with --instance subnet.env in its state directory',
  },
  {
    name: 'subnet-lease-renew-margin',
    kind: 'number',
    range: [1, 1439],
    fallback: 60,
    doc: 'renew this many minutes before a lease ends',
  },
  { name: 'ip-masq', kind: 'boolean', fallback: false, doc: 'masquerade what leaves the pod network' },
  {
    name: 'ip-masq-fully-random-disable',
    kind: 'boolean',
    fallback: false,
    doc: 'no random source ports in masquerading',
  },
  {
    name: 'iptables-resync',
    kind: 'number',
    range: [1, 3600],
    fallback: 5,
    doc: 'seconds between two checks of rules and kernel state',
  },
  { name: 'iptables-forward-rules', kind: 'boolean', fallback: true, doc: 'accept forwarded pod traffic' },
  { name: 'ip-blackhole-route', kind: 'boolean', fallback: false, doc: 'blackhole route for the own subnet' },
  { name: 'healthz-ip', kind: 'text', fallback: '127.0.0.1', doc: 'IP address of /healthz and /readyz' },
  {
    name: 'healthz-port',
    kind: 'number',
    range: [0, 65535],
    fallback: 0,
    doc: 'port of /healthz and /readyz; 0: not served',
  },
  {
    name: 'set-node-network-unavailable',
    kind: 'boolean',
    fallback: true,
    doc: 'maintain the condition NodeNetworkUnavailable',
  },
  {
    name: 'v',
    kind: 'number',
    range: [0, 10],
    fallback: 0,
    doc: 'klog verbosity: 1 means --log-level debug, 4 trace',
  },
  { name: 'vmodule', kind: 'text', fallback: '', doc: 'accepted', inert: KLOG },
  { name: 'log_backtrace_at', kind: 'text', fallback: '', doc: 'accepted', inert: KLOG },
  {
    name: 'logtostderr',
    kind: 'boolean',
    fallback: true,
    doc: 'accepted',
    inert: 'logs go to standard error always',
  },
  {
    name: 'alsologtostderr',
    kind: 'boolean',
    fallback: true,
    doc: 'accepted',
    inert: 'logs go to standard error always',
  },

  {
    name: 'store',
    kind: 'text',
    words: ['', 'file', 'etcd', 'kubernetes', 'static'],
    fallback: '',
    own: true,
    doc: 'file, etcd, kubernetes or static; empty: kubernetes with --kube-subnet-mgr, file with --store-path, else etcd',
  },
  {
    name: 'store-path',
    kind: 'text',
    fallback: '',
    own: true,
    doc: 'shared directory, or one .json file, of the file store; YAML file of the static store',
  },
  {
    name: 'data-plane',
    kind: 'text',
    words: ['userspace', 'kernel'],
    fallback: 'userspace',
    own: true,
    doc: 'who carries vxlan: Ripstop or the kernel’s device',
  },
  {
    name: 'traffic-manager',
    kind: 'text',
    words: ['', 'nftables', 'iptables'],
    fallback: '',
    own: true,
    doc: 'nftables or iptables; empty: as EnableNFTables says, else nftables',
  },
  {
    name: 'rules',
    kind: 'boolean',
    fallback: true,
    own: true,
    doc: 'maintain firewall and NAT rules',
  },
  {
    name: 'keep-state',
    kind: 'boolean',
    fallback: true,
    own: true,
    doc: 'leave devices, routes and neighbours in place at the end, for the next start',
  },
  {
    name: 'exit-on-failure',
    kind: 'boolean',
    fallback: false,
    own: true,
    doc: 'exit when the first start fails instead of trying again',
  },
  {
    name: 'node-name',
    kind: 'text',
    fallback: '',
    own: true,
    doc: 'identity of this node; empty: $NODE_NAME, else the host name',
  },
  {
    name: 'state-dir',
    kind: 'text',
    fallback: '',
    own: true,
    doc: 'socket of the agent and what it remembers; empty: /run/ripstop, with --instance /run/ripstop-NAME',
  },
  {
    name: 'instance',
    kind: 'text',
    fallback: '',
    own: true,
    doc: 'name of this agent where a node has one for each of several networks: tells state and rules apart',
  },
  {
    name: 'socket-group',
    kind: 'text',
    fallback: '',
    own: true,
    doc: 'numeric group that may use the socket; empty: root only',
  },
  {
    name: 'remote-checksum',
    kind: 'boolean',
    fallback: true,
    own: true,
    doc: 'leave inner checksums open between nodes that both say so in their leases (vxlan)',
  },
  {
    name: 'probe-interval',
    kind: 'number',
    range: [0, 3600],
    fallback: 10,
    own: true,
    doc: 'seconds between two small probes of each peer, through the tunnel and beside it; 0: none',
  },
  {
    name: 'web-ip',
    kind: 'text',
    fallback: '127.0.0.1',
    own: true,
    doc: 'address of the web UI; one that is not loopback needs --web-token-file',
  },
  {
    name: 'web-port',
    kind: 'number',
    range: [0, 65535],
    fallback: 8473,
    own: true,
    doc: 'port of the web UI; 0 disables it',
  },
  {
    name: 'web-token-file',
    kind: 'text',
    fallback: '',
    own: true,
    doc: 'file with the token of the web UI; empty: a new token at each start, which `ripstop ui` prints',
  },
  {
    name: 'web-host',
    kind: 'list',
    fallback: [],
    own: true,
    doc: 'host names besides localhost under which browsers may open the web UI',
  },
  {
    name: 'metrics-address',
    kind: 'text',
    fallback: '',
    own: true,
    doc: 'IP address and port of /metrics, as in 127.0.0.1:9433 or [::1]:9433; empty: not served',
  },
  {
    name: 'cni',
    kind: 'boolean',
    fallback: true,
    own: true,
    doc: 'work for the CNI executables (cni.sock in the state directory)',
  },
  {
    name: 'cni-calls-dir',
    kind: 'text',
    fallback: '/var/lib/cni/ripstop/calls',
    own: true,
    doc: 'directory of the CNI calls (DEL, GC) that the executables recorded while no agent answered',
  },
  {
    name: 'tolerate-unknown-keys',
    kind: 'boolean',
    fallback: false,
    own: true,
    doc: 'pass over unknown keys of the network configuration',
  },
  {
    name: 'log-level',
    kind: 'text',
    words: ['trace', 'debug', 'info', 'warn', 'error', 'silent'],
    fallback: 'info',
    own: true,
    doc: 'least level that is logged',
  },
  ...SETTING_NAMES.map(settingRow),
];

/** A setting of the data plane: without the flag, the static file or the cluster may give it. */
function settingRow(name: SettingName): Flag {
  const { fallback, range, words, doc } = SETTINGS[name];
  const kind = typeof fallback === 'number' ? 'number' : typeof fallback === 'boolean' ? 'boolean' : 'text';
  return {
    name: settingFlag(name),
    kind,
    fallback,
    doc,
    own: true,
    ...(range ? { range } : {}),
    ...(words ? { words } : {}),
  };
}
