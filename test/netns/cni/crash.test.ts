import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { attempt } from '../../../src/lab/command.ts';
import type { Namespace } from '../../../src/lab/namespace.ts';
import { CniNode } from '../../fixtures/cni/cni.ts';
import { seeded } from '../../fixtures/random.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

const skip = skipUnless('root', 'netns', 'ip', 'nft', 'iptables');
const child = fileURLToPath(new URL('../../fixtures/cni/cni-crash-child.js', import.meta.url));

/*
 * SIGKILL before each act of an ADD on kernel or disk. What is left is then taken away by DEL, or by GC, and looked for.
 */

const ENV =
  'FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.3.1/24\nFLANNEL_IPV6_NETWORK=fd00::/48\nFLANNEL_IPV6_SUBNET=fd00:0:0:3::1/64\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=false\n';
const DUAL = { ranges: [[{ subnet: '10.244.3.0/24' }], [{ subnet: 'fd00:0:0:3::/64' }]] };
const PORTS = { portMappings: [{ hostPort: 8080, containerPort: 80 }] };

interface Walk {
  what: string;
  /** Acts from one kill to the next; a seed says where the first is. */
  stride: number;
  config(lab: CniNode): { type: string; [key: string]: unknown };
  /** The pod is wired already: the plugin works on what an earlier one has made. */
  chained?: boolean;
  /** The pod gets dev0 of the node, and DEL gives it back. */
  device?: boolean;
  /** Acts that there are at least. */
  atLeast: number;
}

const WALKS: Walk[] = [
  {
    what: 'ripstop: interface, addresses, gateway, masquerading, spoof guard, host port, bandwidth',
    stride: 1,
    config: lab => ({
      type: 'ripstop',
      subnetFile: `${lab.scratch}/subnet.env`,
      macspoofchk: true,
      ipam: { dataDir: `${lab.scratch}/networks` },
      runtimeConfig: {
        ...PORTS,
        bandwidth: { ingressRate: 8e6, ingressBurst: 8e5, egressRate: 8e6, egressBurst: 8e5 },
      },
    }),
    atLeast: 35,
  },
  {
    what: 'flannel: its record, bridge, host-local',
    stride: 3,
    config: lab => ({
      type: 'flannel',
      subnetFile: `${lab.scratch}/subnet.env`,
      dataDir: `${lab.scratch}/flannel`,
      ipam: { dataDir: `${lab.scratch}/networks` },
    }),
    atLeast: 30,
  },
  {
    what: 'ptp: masquerading by iptables, both families',
    stride: 3,
    config: lab => ({ type: 'ptp', ipMasq: true, ipMasqBackend: 'iptables', ipam: lab.ipam(DUAL) }),
    atLeast: 30,
  },
  {
    what: 'portmap by iptables',
    stride: 1,
    config: () => ({ type: 'portmap', backend: 'iptables', runtimeConfig: PORTS }),
    chained: true,
    atLeast: 5,
  },
  {
    what: 'tuning: values are what they were',
    stride: 1,
    config: lab => ({
      type: 'tuning',
      mtu: 1300,
      txQLen: 77,
      promisc: true,
      dataDir: `${lab.scratch}/tuning`,
    }),
    chained: true,
    atLeast: 4,
  },
  {
    what: 'host-device: the device is on the node again',
    stride: 4,
    config: lab => ({ type: 'host-device', device: 'dev0', ipam: lab.ipam(DUAL) }),
    device: true,
    atLeast: 10,
  },
  {
    what: 'tap',
    stride: 4,
    config: lab => ({ type: 'tap', mtu: 1300, ipam: lab.ipam(DUAL) }),
    atLeast: 10,
  },
  { what: 'sbr: no rule is left', stride: 1, config: () => ({ type: 'sbr' }), chained: true, atLeast: 2 },
];

/** What a call may have left: files, links, rules; and what the pod's interface looks like. */
function traces(lab: CniNode, pod: Namespace): string[] {
  const names = (directory: string) =>
    existsSync(`${lab.scratch}/${directory}`) ? readdirSync(`${lab.scratch}/${directory}`) : [];
  const rules = ['iptables-save', 'ip6tables-save'].map(program => lab.node.must([program]));
  return [
    ...names('networks/pods').filter(name => /^(10|fd)/.test(name)),
    ...names('flannel'),
    ...names('tuning'),
    ...(lab.node.ip('link show').match(/(veth|bwp)[0-9a-f]+/g) ?? []),
    ...(lab.node.must(['nft', 'list', 'ruleset']).match(/comment .*|cni-br-iface.*/g) ?? []),
    ...(rules.join('').match(/^-A .*(CNI-DN-|CNI-[0-9a-f]{24}).*$/gm) ?? []),
    ...(pod.ip('link show').match(/eth0.*/g) ?? []),
    ...(pod.must(['ip', 'rule']).match(/from 10\..*/g) ?? []),
    ...(lab.node.ip('link show').match(/dev0@/g) ?? []),
  ];
}

for (const { what, stride, config, chained, device, atLeast } of WALKS)
  t.test(`killed at any step of ADD, then DEL or GC: ${what}`, { skip }, async t => {
    const lab = new CniNode(t);
    writeFileSync(`${lab.scratch}/subnet.env`, ENV);
    if (chained) lab.node.ip('addr add 10.244.3.1/24 dev lo');
    const network = { cniVersion: '1.1.0', name: 'pods', ...config(lab) };
    let finished = false;
    let kills = 0;
    for (let n = stride === 1 ? 1 : seeded(t, 1).between(1, stride); !finished && n < 300; n += stride) {
      const pod = lab.pod(t);
      pod.must(['sysctl', '-qw', 'net.ipv6.conf.default.accept_dad=0']);
      if (chained) pod.ip('link add eth0 type veth peer name far', 'addr add 10.244.3.9/24 dev eth0');
      if (device) lab.node.attempt(['ip', 'link', 'add', 'dev0', 'type', 'veth', 'peer', 'name', 'far0']);
      const before = traces(lab, pod);
      const prevResult = {
        cniVersion: '1.1.0',
        interfaces: [{ name: 'eth0', sandbox: pod.path }],
        ips: [{ address: '10.244.3.9/24', interface: 0 }],
      };
      const given = { ...network, ...(chained ? { prevResult } : {}) };
      const env = [
        'CNI_COMMAND=ADD',
        'CNI_CONTAINERID=c1',
        `CNI_NETNS=${pod.path}`,
        'CNI_IFNAME=eth0',
        `CNI_PATH=${lab.path}`,
      ];
      const argv = ['env', ...env, process.execPath, child, String(n), network.type, lab.node.path];
      const { code, stdout } = attempt(argv, JSON.stringify(given));
      finished = stdout.startsWith('steps');
      if (!finished) {
        kills++;
        if (!t.equal(code, 128, `killed before step ${n}${stdout}`)) break;
      }
      // GC does not enter pods: their interfaces, and what was tuned in them, end with them.
      const way = (n / stride) % 2 < 1 || chained || device ? 'DEL' : 'GC';
      if (way === 'DEL') t.equal((await lab.call('DEL', given, { pod })).text, '');
      else {
        t.equal((await lab.call('GC', { ...given, 'cni.dev/valid-attachments': [] })).text, '');
        pod.attempt(['ip', 'link', 'del', 'eth0']);
      }
      t.strictSame(traces(lab, pod), before, `as before after ${way} behind step ${n}`);
      pod.remove();
    }
    t.ok(finished, 'the walk came to the end of ADD');
    t.comment(`${kills} kills`);
    t.ok(kills * stride >= atLeast, `${kills} kills`);
  });
