import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { Node } from '../../../src/lab/topology.ts';
import { PATIENCE_MS, until } from '../../../src/lab/until.ts';
import { agentsFor, fileStoreFor, type TestAgent } from '../../fixtures/agents/agents.ts';
import { findingsOf } from '../../fixtures/agents/ask.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/* A node whose subnet changes while its agent runs, or between two runs. */

const SKIP = { skip: skipUnless('root', 'netns', 'tun', 'nft') };

const blackholes = (node: Node): string[] =>
  node.ns
    .must(['ip', 'route', 'show', 'type', 'blackhole'])
    .split('\n')
    .map(line => line.split(' ')[1] ?? '')
    .filter(line => line !== '');

/** The subnet that an agent has now. */
const subnetOf = async (agent: TestAgent): Promise<string | undefined> => {
  const status = await agent.ask('/status').catch(() => undefined);
  return status?.ready ? (status.lease?.key ?? undefined) : undefined;
};

for (const dataPlane of ['userspace', 'kernel'] as const)
  t.test(
    `another subnet, ${dataPlane}: ready with its routes, nothing repaired, the former blackhole gone`,
    { skip: SKIP.skip || (dataPlane === 'kernel' && skipUnless('vxlan')) },
    async t => {
      const lab = labFor(t);
      const store = fileStoreFor(t);
      const { agents } = agentsFor(t, lab, [
        ...store.flags,
        '--ip-blackhole-route',
        `--data-plane=${dataPlane}`,
      ]);
      for (const agent of agents) {
        agent.rememberSubnet();
        agent.start();
      }
      await Promise.all(agents.map(agent => agent.ready(1)));
      const [one, two] = lab.nodes as [Node, Node];
      const agent = agents[0]!;
      t.same(blackholes(one), ['10.244.1.0/24']);

      // Node 1 has no lease any more and its range belongs to another node.
      const leases = join(store.path, 'subnets');
      const other = {
        PublicIP: '172.31.0.77',
        BackendType: 'vxlan',
        BackendData: { VNI: 1, VtepMAC: '0a:00:00:00:00:77' },
      };
      writeFileSync(join(leases, '10.244.1.0-24'), JSON.stringify(other));
      await until('another subnet', async () => {
        const key = await subnetOf(agent);
        return key !== undefined && key !== '10.244.1.0-24';
      });
      await agent.ready(2);
      const routes = one.ns.must(['ip', 'route']);
      t.match(
        routes,
        /10\.244\.2\.0\/24 via 10\.244\.2\.0 dev flannel\.1 proto 114/,
        'routes stand when it is ready',
      );
      const key = (await subnetOf(agent))!;
      t.same(blackholes(one), [key.replace('-', '/')], 'only the present subnet has a blackhole route');
      // Two comparisons at least: each reads the events of the change.
      await agents[1]!.ready(2);
      one.ns.ip('link set flannel.1 txqueuelen 77');
      await until('a repair', () => readFileSync(agent.log, 'utf8').includes('repaired: ~ device'));
      const repaired = readFileSync(agent.log, 'utf8')
        .split('\n')
        .filter(line => line.includes('repaired: '));
      t.equal(repaired.length, 1, `no repair of its own changes: ${repaired.join('\n')}`);

      const [finding] = findingsOf(agent, 'stale-bridge');
      t.match(finding, {
        severity: 'fault',
        what: /^cni0 has the address 10\.244\.1\.1\/24, which is outside this node's subnet .*belongs to 172\.31\.0\.77 now/,
        remedy: /ip link del cni0/,
      });
      t.match(two.ns.must(['ip', 'route']), key.replace('-', '/'), 'the other node has the new route');
    },
  );

t.test('blackhole routes of flannel and of former runs go, those of others stay', SKIP, async t => {
  const lab = labFor(t);
  const store = fileStoreFor(t);
  const { agents } = agentsFor(t, lab, store.flags);
  const [one] = lab.nodes as [Node];
  const agent = agents[0]!;
  agent.rememberSubnet();
  writeFileSync(
    agent.subnetFile,
    readFileSync(agent.subnetFile, 'utf8').replace('NETWORK=10.244.0.0/16', 'NETWORK=10.55.0.0/16'),
  );
  one.ns.ip(
    // Of Ripstop: a former subnet, and one of a former network.
    'route add blackhole 10.244.16.0/21 metric 9999 proto static',
    'route add blackhole 10.55.7.0/24 metric 9999 proto static',
    // Of flannel.
    'route add blackhole 10.244.9.0/24',
    // Of others.
    'route add blackhole 10.244.0.0/16',
    'route add blackhole 10.244.64.0/26 proto bird',
    'route add blackhole 10.99.0.0/24 metric 9999 proto static',
  );
  agent.start();
  await agent.ready(0);
  await until('the former ones gone', () => blackholes(one).length <= 3, PATIENCE_MS, 200);
  t.same(blackholes(one).sort(), ['10.244.0.0/16', '10.244.64.0/26', '10.99.0.0/24']);
  await agent.stop();
  agent.start('--ip-blackhole-route');
  await agent.ready(0);
  await until('its own', () => blackholes(one).includes('10.244.1.0/24'));
  await agent.stop();
  agent.start();
  await agent.ready(0);
  await until('none without the flag', () => !blackholes(one).includes('10.244.1.0/24'));
  rmSync(agent.subnetFile);
});
