import { symlinkSync } from 'node:fs';
import t, { type Test } from 'tap';
import { IptablesRules } from '../../../src/agent/rules/iptables.ts';
import type { RuleSet } from '../../../src/agent/rules/model.ts';
import { NftablesRules } from '../../../src/agent/rules/nftables.ts';
import { withPodInterfaces } from '../../../src/agent/rules/pod-interfaces.ts';
import { must } from '../../../src/lab/command.ts';
import type { Namespace } from '../../../src/lab/namespace.ts';
import { until } from '../../../src/lab/until.ts';
import { namespaceFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/*
 * A pod network that contains the network between the nodes, for instance 192.168.0.0/16 of kubeadm in a home LAN.
 */

const LAN: RuleSet = {
  families: [{ family: 4, cluster: '192.168.0.0/16', pods: '192.168.7.0/24', underlay: '192.168.1.1' }],
  masquerade: false,
  fullyRandom: false,
  forward: false,
  tunnelPort: 8472,
  guard: { underlay: 'eth0', podInterfaces: [], nodeNetworks: [] },
};
const PORTS = [8472, 9000];

/** Prints `<source> <port>` of each datagram. */
async function listener(ns: Namespace) {
  const code =
    'let n=0;for(const p of process.argv.slice(1)){const s=require("dgram").createSocket("udp4");' +
    's.on("message",(m,from)=>console.log("got "+from.address+" "+p));' +
    's.bind(Number(p),()=>{if(++n===process.argv.length-1)console.log("listening")})}';
  const proc = ns.launch([process.execPath, '-e', code, ...PORTS.map(String)]);
  await proc.saying(/listening/);
  return proc;
}

function send(ns: Namespace, from: string, to: string, port: number): void {
  const code =
    'const [from,to,port]=process.argv.slice(1);const s=require("dgram").createSocket("udp4");' +
    's.bind({address:from},()=>s.send("x",port,to,()=>s.close()))';
  ns.attempt([process.execPath, '-e', code, from, to, String(port)]);
}

for (const tool of ['nftables', 'iptables'] as const)
  t.test(
    `tunnel port, a pod network that covers the LAN, ${tool}: nodes reach it, pods do not`,
    { skip: skipUnless('root', 'netns', 'nft', 'iptables', 'ip6tables') },
    async t => {
      const [node, pod, sibling, peer] = [0, 1, 2, 3].map(() => namespaceFor(t)) as [
        Namespace,
        Namespace,
        Namespace,
        Namespace,
      ];
      const link = (to: Namespace, near: string, far: string) =>
        node.ip(`link add ${near} type veth peer name ${far} netns ${to.name}`, `link set ${near} up`);
      link(peer, 'eth0', 'eth0');
      node.ip('address add 192.168.1.1/24 dev eth0', 'route add 203.0.113.9 dev eth0');
      peer.ip(
        'address add 192.168.1.2/24 dev eth0',
        'address add 203.0.113.9/32 dev eth0',
        'link set eth0 up',
      );
      peer.ip('route add 192.168.7.0/24 via 192.168.1.1');
      for (const [ns, name, address] of [
        [pod, 'veth1', '192.168.7.2'],
        [sibling, 'veth2', '192.168.7.3'],
      ] as const) {
        link(ns, name, 'eth0');
        ns.ip(`address add ${address}/32 dev eth0`, 'link set eth0 up', 'route add 192.168.7.1 dev eth0');
        ns.ip('route add default via 192.168.7.1');
        node.ip(`route add ${address} dev ${name}`);
      }
      node.ip('address add 192.168.7.1/32 dev veth1');
      node.ip('route add 192.168.7.2 dev veth1 src 192.168.7.1 metric 1');
      node.sysctl('net.ipv4.ip_forward=1');

      const rules = withPodInterfaces(LAN, node.path);
      t.same(rules.guard?.nodeNetworks, [{ family: 4, cidr: '192.168.1.0/24' }]);
      const keeper = tool === 'nftables' ? new NftablesRules(node.path) : new IptablesRules(node.path);
      await keeper.apply(rules);
      t.ok(await keeper.holds(rules));

      const atPeer = await listener(peer);
      const atSibling = await listener(sibling);
      const arrived = (proc: typeof atPeer) => proc.stdout.match(/^got .*$/gm) ?? [];
      // The port that is let through comes last: when it is there, the others would be.
      send(pod, '192.168.7.2', '192.168.1.2', 8472);
      send(pod, '192.168.7.2', '203.0.113.9', 8472);
      send(node, '192.168.1.1', '203.0.113.9', 8472);
      send(node, '192.168.1.1', '192.168.1.2', 8472);
      send(pod, '192.168.7.2', '192.168.1.2', 9000);
      send(pod, '192.168.7.2', '192.168.7.3', 8472);
      await until(
        'the last ones arrive',
        () => arrived(atPeer).length >= 3 && arrived(atSibling).length >= 1,
      );
      t.same(arrived(atPeer).sort(), [
        'got 192.168.1.1 8472',
        'got 192.168.1.1 8472',
        'got 192.168.7.2 9000',
      ]);
      t.same(arrived(atSibling), ['got 192.168.7.2 8472'], 'between pods the port is a port like others');
      t.ok(await keeper.remove());
    },
  );

/** Makes `iptables` the legacy one, for the programs that this process starts. */
function byDefaultLegacy(t: Test): void {
  const folder = t.testdir({});
  for (const program of ['iptables', 'ip6tables'])
    for (const tail of ['', '-save', '-restore'])
      symlinkSync(
        must(['sh', '-c', `command -v ${program}-legacy${tail}`]).trim(),
        `${folder}/${program}${tail}`,
      );
  const { PATH } = process.env;
  process.env.PATH = `${folder}:${PATH}`;
  t.teardown(() => {
    process.env.PATH = PATH;
  });
}

for (const tool of ['nftables', 'iptables', 'iptables-legacy'] as const)
  t.test(
    `tunnel port, datagrams in fragments to another port, ${tool}: they pass`,
    { skip: skipUnless('root', 'netns', 'nft', 'iptables', 'ip6tables', 'ip6tables-legacy') },
    async t => {
      if (tool === 'iptables-legacy') byDefaultLegacy(t);
      const [node, pod, peer] = [0, 1, 2].map(() => namespaceFor(t)) as [Namespace, Namespace, Namespace];
      node.ip(
        `link add eth0 type veth peer name eth0 netns ${peer.name}`,
        `link add veth1 type veth peer name eth0 netns ${pod.name}`,
        'link set eth0 up',
        'link set veth1 up',
        'address add fd00:1::1/64 dev eth0 nodad',
        'address add fd00:7::1/64 dev veth1 nodad',
      );
      peer.ip(
        'address add fd00:1::2/64 dev eth0 nodad',
        'link set eth0 up',
        'route add fd00:7::/64 via fd00:1::1',
      );
      pod.ip(
        'address add fd00:7::2/64 dev eth0 nodad',
        'link set eth0 up',
        'route add default via fd00:7::1',
      );
      node.sysctl('net.ipv6.conf.all.forwarding=1');
      // Nothing of this set needs conntrack in this family, so nothing puts fragments together on the way.
      const rules: RuleSet = {
        ...LAN,
        families: [{ family: 6, cluster: 'fd00:7::/48', pods: 'fd00:7::/64', underlay: undefined }],
      };
      const keeper = tool === 'nftables' ? new NftablesRules(node.path) : new IptablesRules(node.path);
      await keeper.apply(withPodInterfaces(rules, node.path));
      const code =
        'const s=require("dgram").createSocket("udp6");s.on("message",m=>console.log("got "+m.length));' +
        's.bind(9000,()=>console.log("listening"))';
      const proc = peer.launch([process.execPath, '-e', code]);
      await proc.saying(/listening/);
      const large =
        'const s=require("dgram").createSocket("udp6");s.send(Buffer.alloc(4000),9000,"fd00:1::2",()=>s.close())';
      await until('a large datagram arrives', () => {
        pod.attempt([process.execPath, '-e', large]);
        return /got 4000/.test(proc.stdout);
      });
      t.match(proc.stdout, /got 4000/);
    },
  );
