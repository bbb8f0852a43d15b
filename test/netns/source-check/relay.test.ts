import t from 'tap';
import type { Node } from '../../../bench/lab/topology.ts';
import { until } from '../../../bench/lab/until.ts';
import { agentsFor, fileStoreFor } from '../../fixtures/agents/agents.ts';
import { VNI } from '../../fixtures/agents/overlay.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';
import * as wire from '../../fixtures/traffic/datagrams.ts';
import { PacketSource } from '../../fixtures/traffic/packet-source.ts';

const skip = skipUnless('root', 'netns', 'tun', 'nft', 'ip');
const DUAL = { EnableIPv6: true, IPv6Network: 'fd00:10:244::/48' };

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
    const mac = (node: Node, device: string) =>
      node.ns.must(['cat', `/sys/class/net/${device}/address`]).trim();
    const wrap = (family: 4 | 6, destination: string) => {
      const packet = wire.echoReply(two.pods[0]!.address[family], destination);
      const device = family === 4 ? 'flannel.1' : 'flannel-v6.1';
      return wire.vxlan(
        VNI,
        wire.ethernet(mac(one, device), mac(two, device), wire.etherType(packet), packet),
      );
    };
    const relayed = [
      wrap(4, three.pods[0]!.address[4]),
      wrap(4, '203.0.113.9'),
      wrap(4, three.underlay[4]),
      wrap(4, '10.244.0.255'),
      wrap(4, '10.244.2.0'),
    ];
    const gun = new PacketSource(t, two.ns, two.underlay[4], one.underlay[4], 8472);
    await gun.fire(relayed);
    const dropped = async (device: string) => {
      const drops = await agents[0]!.ask('/drops');
      return drops
        .filter(each => each.device === device && each.reason === 'not-for-us')
        .reduce((sum, { frames }) => sum + frames, 0);
    };
    await until('all dropped', async () => (await dropped('flannel.1')) === relayed.length);
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
