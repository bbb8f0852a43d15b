import t from 'tap';
import type { Node } from '../../../src/lab/topology.ts';
import { until } from '../../../src/lab/until.ts';
import { agentsFor, fileStoreFor } from '../../fixtures/agents/agents.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/*
 * Without masquerading, which is flannel's default and the agent's, a pod's packet to another node's own address leaves
 * by the underlay. The answer has that address as its inner source and comes through the tunnel.
 */

const SKIP = { skip: skipUnless('root', 'netns', 'tun', 'nft', 'ping') };
const DUAL = { EnableIPv6: true, IPv6Network: 'fd00:10:244::/48' };

for (const type of ['vxlan', 'udp'] as const) {
  const families = type === 'vxlan' ? ([4, 6] as const) : ([4] as const);
  const name = `${type} without masquerading: a pod asks another node's own address, answered through the tunnel`;
  t.test(name, SKIP, async t => {
    const lab = labFor(t);
    const store = fileStoreFor(t, { Backend: { Type: type }, ...(type === 'vxlan' ? DUAL : {}) });
    const { agents } = agentsFor(t, lab, store.flags);
    for (const agent of agents) {
      agent.rememberSubnet();
      agent.start();
    }
    await Promise.all(agents.map(agent => agent.ready(1)));
    const [one, two] = lab.nodes as [Node, Node];
    const pod = one.pods[0]!;
    for (const family of families) {
      const ping = ['ping', '-c1', '-W2', two.underlay[family]];
      await until(`an answer over IPv${family}`, () => pod.ns.attempt(ping).code === 0);
      t.pass(`IPv${family}: node 2 answers the pod of node 1`);
    }
    const { drops } = await agents[0]!.ask('/drops');
    t.notOk(
      drops.some(({ reason }) => reason === 'spoofed-source'),
      'no answer counts as spoofed',
    );
  });
}
