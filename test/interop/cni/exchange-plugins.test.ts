import { readdirSync } from 'node:fs';
import t, { type Test } from 'tap';
import { attempt } from '../../../src/lab/command.ts';
import type { Namespace } from '../../../src/lab/namespace.ts';
import { CniNode } from '../../fixtures/cni/cni.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/*
 * Every plugin that both projects have: what the one adds, the other checks and deletes, in both directions. Our GC keeps
 * a valid attachment of the other, and takes away one that is gone. Rules are in exchange.test.ts as well.
 */

const GO = '/usr/lib/cni';
const skip = skipUnless('root', 'netns', 'ip', 'nft', 'iptables', 'tc', `${GO}/bridge`);

// biome-ignore lint/suspicious/noExplicitAny: answers are compared member by member
type Answer = { text: string; json: any };
type Maker = 'ours' | 'theirs';

interface Case {
  readonly config: { readonly type: string; readonly [key: string]: unknown };
  /** A link that the kernel must be able to make, as a line of iproute2 after `ip link add`. */
  readonly takes?: string;
  /** The plugin works on the pod that `ptp` of the maker has wired. */
  readonly chained?: boolean;
  /** GC of ours cannot know the reference's attachments: it leaves them. */
  readonly gcLeaves?: boolean;
}

const LIMITS = { ingressRate: 8e6, ingressBurst: 8e5, egressRate: 8e6, egressBurst: 8e5 };
const PORTS = { portMappings: [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }] };

// Ours put rules where the reference of this version looks for them: it knows iptables only.
const CASES: readonly Case[] = [
  {
    config: {
      type: 'bridge',
      isGateway: true,
      hairpinMode: true,
      ipMasq: true,
      ipMasqBackend: 'iptables',
    },
  },
  { config: { type: 'ptp', ipMasq: true, ipMasqBackend: 'iptables' } },
  { config: { type: 'macvlan', master: 'up0' }, takes: 'link b0 name x type macvlan' },
  { config: { type: 'ipvlan', master: 'up0' }, takes: 'link b0 name x type ipvlan' },
  { config: { type: 'vlan', master: 'up0', vlanId: 5 }, takes: 'link b0 name x type vlan id 5' },
  { config: { type: 'host-device', device: 'dev0' }, gcLeaves: true },
  { config: { type: 'loopback' }, gcLeaves: true },
  { config: { type: 'portmap', backend: 'iptables', runtimeConfig: PORTS }, chained: true },
  { config: { type: 'firewall', backend: 'iptables' }, chained: true, gcLeaves: true },
  { config: { type: 'bandwidth', ...LIMITS }, chained: true, gcLeaves: true },
  {
    config: { type: 'tuning', mtu: 1300, promisc: true, sysctl: { 'net.core.somaxconn': '511' } },
    chained: true,
    gcLeaves: true,
  },
  { config: { type: 'sbr' }, chained: true, gcLeaves: true },
  { config: { type: 'vrf', vrfname: 'red' }, chained: true, gcLeaves: true, takes: 'x type vrf table 9' },
];

const lacks = ({ takes }: Case) =>
  takes !== undefined &&
  attempt(['unshare', '--net', 'sh', '-c', `ip link add b0 type bridge && ip link add ${takes}`]).code !==
    0 &&
  `missing here: ${takes.replace(/^.* type /, '')} in the kernel`;

function setUp(t: Test) {
  const lab = new CniNode(t);
  lab.node.ip(
    'link set lo up',
    'link add up0 type veth peer name up1',
    'link set up0 up',
    'link set up1 up',
    'link add dev0 address 02:00:5e:10:00:01 type veth peer name far0',
  );
  const ipam = lab.ipam({
    ranges: [[{ subnet: '10.1.0.0/24' }], [{ subnet: 'fd00:1::/64' }]],
    routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }],
  });
  const call = async (
    maker: Maker,
    command: string,
    config: { type: string; [key: string]: unknown },
    pod?: Namespace,
  ): Promise<Answer> => {
    if (maker === 'ours') return lab.call(command, config, { pod });
    const variables = [
      ...[`CNI_COMMAND=${command}`, 'CNI_CONTAINERID=c1', `CNI_NETNS=${pod?.path ?? ''}`, 'CNI_IFNAME=eth0'],
      `CNI_PATH=${GO}`,
    ];
    const { stdout } = lab.node.attempt(
      ['env', ...variables, `${GO}/${config.type}`],
      JSON.stringify(config),
    );
    return { text: stdout, json: stdout === '' ? undefined : JSON.parse(stdout) };
  };
  /** All that an attachment has: what is the node's and the pod's alone is the same before and after. */
  const picture = (pod: Namespace) => {
    const held = (name: string) => {
      try {
        return readdirSync(`${lab.scratch}/${name}`).filter(file => !/^last_reserved|^lock$/.test(file));
      } catch {
        return [];
      }
    };
    const rules = ['iptables-save', 'ip6tables-save', 'nft list ruleset'].map(
      line => lab.node.attempt(line.split(' ')).stdout,
    );
    const links = (ns: Namespace) =>
      ns
        .must(['ip', '-o', 'link'])
        .replace(/^\d+: ([^@:]*)\S* <(.*?)> mtu (\d+) .*$/gm, (_, name, flags, mtu) =>
          [name.replace(/^veth[0-9a-f]{8}$/, 'veth'), /PROMISC|(?<=[,<])UP/.exec(flags)?.[0] ?? '', mtu].join(
            ' ',
          ),
        )
        .split('\n');
    return {
      node: links(lab.node),
      pod: links(pod),
      addresses: (pod.must(['ip', '-o', 'addr']).match(/(10\.|fd00)\S+/g) ?? []).sort(),
      policy: pod.must(['ip', 'rule']),
      files: [...held('networks/net'), ...held('tuning')],
      rules:
        rules
          .join('\n')
          .match(
            /^-A (?!RIPSTOP).*(10\.1\.0\.|CNI-DN-|CNI-[0-9a-f]{24}).*$|comment "rs.*|masquerade comment.*|cni-br-iface.*/gm,
          ) ?? [],
    };
  };
  return { lab, ipam, call, picture };
}

/** A bridge stays when its last pod goes. */
const withoutBridge = <T extends { node: string[] }>(picture: T): T => ({
  ...picture,
  node: picture.node.filter(line => !line.startsWith('cni0')),
});

for (const one of CASES)
  t.test(
    `${one.config.type}: either adds, the other checks and deletes`,
    { skip: skip || lacks(one) },
    async t => {
      const { lab, ipam, call, picture } = setUp(t);
      const network = { cniVersion: '1.0.0', name: 'net' };
      const gc = (valid: object[], changes: object = {}) =>
        call('ours', 'GC', {
          ...one.config,
          ...network,
          ipam,
          ...changes,
          cniVersion: '1.1.0',
          'cni.dev/valid-attachments': valid,
        });
      // CHECK of portmap in this version of the reference fails for what it has made itself.
      let isAccepted = false;
      for (const [maker, other] of [
        ['theirs', 'ours'],
        ['ours', 'theirs'],
      ] as const) {
        const pod = lab.pod(t);
        pod.must(['sysctl', '-qw', 'net.ipv6.conf.default.accept_dad=0']);
        // DEL of loopback sets it down.
        pod.ip('link set lo down');
        const base = { ...network, type: 'ptp', ipam };
        const wired = one.chained ? await call('ours', 'ADD', base, pod) : undefined;
        const dataDir = `${lab.scratch}/tuning`;
        const config = {
          ...network,
          ...(one.chained ? { prevResult: wired?.json } : { ipam }),
          ...(one.config.type === 'tuning' ? { dataDir } : {}),
          ...one.config,
        };
        const before = withoutBridge(picture(pod));
        for (const way of maker === 'theirs' && !one.gcLeaves ? ['DEL', 'GC'] : ['DEL']) {
          const what = `${maker} ADD, ${other} ${way}`;
          const added = await call(maker, 'ADD', config, pod);
          t.equal(added.json?.code, undefined, `${what}: ${added.text}`);
          const previous = { ...config, prevResult: added.json };
          const check = await call(other, 'CHECK', previous, pod);
          if (maker === 'theirs') isAccepted = (await call('theirs', 'CHECK', previous, pod)).text === '';
          if (other === 'ours' || isAccepted)
            t.equal(check.text, '', `${what}: CHECK of the other: ${check.text}`);
          const full = picture(pod);
          t.equal((await gc([{ containerID: 'c1', ifname: 'eth0' }])).text, '');
          t.same(picture(pod), full, `${what}: our GC keeps a valid attachment`);
          if (way === 'GC') {
            t.equal((await gc([])).text, '');
            if (!one.chained) pod.attempt(['ip', 'link', 'del', 'eth0']);
          } else t.equal((await call(other, 'DEL', previous, pod)).text, '', `${what}: DEL`);
          const after = withoutBridge(picture(pod));
          // What ptp has given the pod is not the plugin's: our GC of the network takes its address as well.
          if (way === 'GC' && one.chained) t.same(after.rules, before.rules, what);
          else t.same(after, before, what);
        }
        if (one.chained) t.equal((await call('ours', 'DEL', { ...base }, pod)).text, '');
        // What the reference does not know of has no effect, and goes with our GC.
        t.equal((await gc([])).text, '');
        t.notMatch(lab.node.must(['iptables-save']), /10\.1\.0\./);
        pod.remove();
      }
    },
  );
