import t from 'tap';
import type { Node } from '../../../src/lab/topology.ts';
import { until } from '../../../src/lab/until.ts';
import { agentsFor, fileStoreFor } from '../../fixtures/agents/agents.ts';
import { VNI } from '../../fixtures/agents/overlay.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';
import * as wire from '../../fixtures/traffic/datagrams.ts';
import { PacketSource } from '../../fixtures/traffic/packet-source.ts';

const skip = skipUnless('root', 'netns', 'tun', 'nft', 'ip');
const DUAL = { EnableIPv6: true, IPv6Network: 'fd00:10:244::/48' };

/** A frame that a pod of node `from` sends to `destination` by way of node `to`. */
function relayed(to: Node, from: Node, family: 4 | 6, destination: string) {
  const packet = wire.echoReply(from.pods[0]!.address[family], destination);
  const device = family === 4 ? 'flannel.1' : 'flannel-v6.1';
  const [target, source] = [to, from].map(({ ns }) =>
    ns.must(['cat', `/sys/class/net/${device}/address`]).trim(),
  );
  return wire.vxlan(VNI, wire.ethernet(target!, source!, wire.etherType(packet), packet));
}

t.test(
  'a peer that uses a node as a relay is dropped as not-for-us; its own traffic passes',
  { skip },
  async t => {
    const lab = labFor(t, { nodes: 3 });
    const store = fileStoreFor(t, DUAL);
    const { agents } = agentsFor(t, lab, [...store.flags, '--ip-masq']);
    for (const agent of agents) {
      agent.rememberSubnet();
      agent.start();
    }
    await Promise.all(agents.map(agent => agent.ready(2)));
    const [one, two, three] = lab.nodes as [Node, Node, Node];
    const wrap = (family: 4 | 6, destination: string) => relayed(one, two, family, destination);
    const frames = [
      wrap(4, three.pods[0]!.address[4]),
      wrap(4, '203.0.113.9'),
      wrap(4, three.underlay[4]),
      wrap(4, '10.244.0.255'),
      wrap(4, '10.244.2.0'),
    ];
    const gun = new PacketSource(t, two.ns, two.underlay[4], one.underlay[4], 8472);
    await gun.fire(frames);
    const dropped = async (device: string) => {
      const { drops } = await agents[0]!.ask('/drops');
      return drops
        .filter(each => each.device === device && each.reason === 'not-for-us')
        .reduce((sum, { frames }) => sum + frames, 0);
    };
    await until('all dropped', async () => (await dropped('flannel.1')) === frames.length);
    const six = new PacketSource(t, two.ns, two.underlay[6], one.underlay[6], 8472);
    await six.fire([wrap(6, three.pods[0]!.address[6]), wrap(6, '2001:db8::9')]);
    await until('both dropped', async () => (await dropped('flannel-v6.1')) === 2);
    for (const family of [4, 6] as const)
      for (const destination of [one.pods[0]!.address[family], one.tunnel[family]])
        t.equal(
          two.pods[0]!.ns.attempt(['ping', '-c1', '-W5', destination]).code,
          0,
          `${destination} answers`,
        );
  },
);

/** Packets that the rule against transit has dropped on a node. */
function refused({ ns }: Node, tool: 'nftables' | 'iptables'): number {
  if (tool === 'nftables') {
    const chain = ns.must(['nft', 'list', 'chain', 'inet', 'ripstop', 'no-transit']);
    return [...chain.matchAll(/counter packets (\d+)/g)].reduce(
      (sum, [, packets]) => sum + Number(packets),
      0,
    );
  }
  return ['iptables', 'ip6tables']
    .map(command => ns.must([command, '-t', 'raw', '-nvxL', 'RIPSTOP-NO-TRANSIT']))
    .flatMap(text => [...text.matchAll(/^ *(\d+) +\d+ DROP/gm)])
    .reduce((sum, [, packets]) => sum + Number(packets), 0);
}

for (const tool of ['nftables', 'iptables'] as const)
  t.test(
    `a peer that uses a node with the kernel's data plane as a relay is dropped, ${tool}; its own traffic passes`,
    { skip: skip || skipUnless('vxlan', 'iptables', 'ip6tables') },
    async t => {
      const lab = labFor(t, { nodes: 3 });
      const store = fileStoreFor(t, DUAL);
      const flags = ['--ip-masq', '--data-plane=kernel', `--traffic-manager=${tool}`];
      const { agents } = agentsFor(t, lab, [...store.flags, ...flags]);
      for (const agent of agents) {
        agent.rememberSubnet();
        agent.start();
      }
      await Promise.all(agents.map(agent => agent.ready(2)));
      const [one, two, three] = lab.nodes as [Node, Node, Node];
      for (const family of [4, 6] as const) {
        const gun = new PacketSource(t, two.ns, two.underlay[family], one.underlay[family], 8472);
        await gun.fire(
          [three.pods[0]!.address[family], three.underlay[family]].map(to => relayed(one, two, family, to)),
        );
        for (const destination of [one.pods[0]!.address[family], one.tunnel[family]])
          t.equal(
            two.pods[0]!.ns.attempt(['ping', '-c1', '-W5', destination]).code,
            0,
            `${destination} answers`,
          );
      }
      await until('all dropped', () => refused(one, tool) === 4);
    },
  );
