import { rmSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { Node } from '../../../src/lab/topology.ts';
import { until } from '../../../src/lab/until.ts';
import { agentsFor, fileStoreFor, type TestAgent } from '../../fixtures/agents/agents.ts';
import { LabEtcd } from '../../fixtures/agents/etcd-in-lab.ts';
import { PingStream } from '../../fixtures/agents/ping-stream.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

const CONFIG = '{"Network":"10.244.0.0/16","Backend":{"Type":"vxlan"}}';
const EVERY_MS = 10;
/** So many pings at least do the nodes that stay exchange: on a full machine they take longer. */
const BYSTANDING_PINGS = 320;
const reaches = (from: Node, to: Node): boolean =>
  from.pods[0]!.ns.attempt(['ping', '-c1', '-W1', to.pods[0]!.address[4]]).code === 0;

for (const kind of ['file', 'etcd'] as const)
  t.test(
    `nodes come, change and go under traffic: five nodes on ${kind}`,
    {
      skip: skipUnless('root', 'netns', 'tun', 'nft') || (kind === 'etcd' && skipUnless('etcd', 'etcdctl')),
    },
    async t => {
      const lab = labFor(t, { nodes: 5 });
      const [one, two, three, four, five] = lab.nodes as [Node, Node, Node, Node, Node];
      const etcd = kind === 'etcd' ? await LabEtcd.start(t, lab) : undefined;
      const store = fileStoreFor(t);
      etcd?.put('/coreos.com/network/config', CONFIG);
      const { agents } = agentsFor(t, lab, etcd ? [`--etcd-endpoints=${etcd.url}`] : store.flags);
      const byNode = new Map(lab.nodes.map((node, at) => [node, agents[at]!]));
      const agentOf = (node: Node): TestAgent => byNode.get(node)!;
      const start = (...nodes: Node[]) => {
        for (const node of nodes) agentOf(node).start();
      };
      const ready = (peers: number, ...nodes: Node[]) =>
        Promise.all(nodes.map(node => agentOf(node).ready(peers)));
      const removeLease = (node: Node) => {
        const key = node.subnet[4].replace('/', '-');
        if (etcd) etcd.ctl('del', `/coreos.com/network/subnets/${key}`);
        else rmSync(join(store.path, 'subnets', key));
      };

      for (const agent of agents) agent.rememberSubnet();
      start(one, two, three);
      await ready(2, one, two, three);
      for (const [from, to] of [
        [one, two],
        [three, one],
      ] as const)
        await until('traffic', () => reaches(from, to));
      const bystanders = [new PingStream(one, two, EVERY_MS), new PingStream(two, one, EVERY_MS)];

      start(four, five);
      await ready(4, ...lab.nodes);
      await until('the new nodes', () => reaches(one, four) && reaches(five, two) && reaches(four, five));
      const toThree = new PingStream(one, three, EVERY_MS);

      // As a node that was reinstalled: another MAC under the same address.
      const macOf = async (node: Node) =>
        (await agentOf(one).ask('/peers')).find(({ address }) => address === node.underlay[4])?.mac;
      const former = await macOf(three);
      await agentOf(three).stop('SIGKILL');
      rmSync(join(agentOf(three).stateDir, 'vtep.json'));
      start(three);
      await until('the new MAC', async () => {
        const now = await macOf(three);
        return now !== undefined && now !== former;
      });
      await until('traffic with the new MAC', () => reaches(one, three) && reaches(three, five));

      three.ns.ip('addr del 172.31.0.3/24 dev eth0', 'addr add 172.31.0.33/24 dev eth0');
      await until('the new address', async () =>
        (await agentOf(one).ask('/peers')).some(({ address }) => address === '172.31.0.33'),
      );
      await until('traffic with the new address', () => reaches(one, three) && reaches(three, five));
      const changed = await toThree.end();

      const toFour = new PingStream(one, four, EVERY_MS);
      await agentOf(four).stop('SIGKILL');
      start(four);
      await ready(4, four);
      await until('it back', () => reaches(one, four));
      const killed = await toFour.end();

      const leaving = [four, five];
      for (const node of leaving) await agentOf(node).stop();
      for (const node of leaving) removeLease(node);
      await ready(2, one, two, three);
      for (const node of [one, two, three])
        t.notMatch(node.ns.must(['ip', 'route']), /10\.244\.[45]\.0/, 'no route leads to those who left');

      for (const stream of bystanders) {
        await until('pings', () => stream.reached >= BYSTANDING_PINGS);
        const { sent, lost } = await stream.end();
        t.equal(lost, 0, `of ${sent} pings between nodes that stayed`);
      }
      t.comment(
        `${kind}: MAC and address changed, ${changed.lost} pings of ${1000 / EVERY_MS} a second lost, longest gap ${changed.gapMs} ms; killed, ${killed.gapMs} ms`,
      );
      for (const node of [one, two]) {
        const status = await agentOf(node).ask('/status');
        t.match(status, { ready: true, networkStarts: 1, failedRepairs: 0, rejected: [] });
        const { drops } = await agentOf(node).ask('/drops');
        const lost = drops.filter(
          ({ direction, reason }) => direction === 'ingress' && reason !== 'multicast',
        );
        t.same(
          lost.filter(
            ({ reason }) => !['unknown-peer', 'not-for-us', 'spoofed-source', 'bad-flags'].includes(reason),
          ),
          [],
          'refused was only what came from a node while its lease was on the way',
        );
      }
    },
  );
