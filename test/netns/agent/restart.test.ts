import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { Node } from '../../../src/lab/topology.ts';
import { until } from '../../../src/lab/until.ts';
import { agentsFor, fileStoreFor, type TestAgent } from '../../fixtures/agents/agents.ts';
import { PingStream } from '../../fixtures/agents/ping-stream.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

const SKIP = { skip: skipUnless('root', 'netns', 'tun', 'nft') };
const DUAL = { EnableIPv6: true, IPv6Network: 'fd00:10:244::/48' };

/** All that a restart must not change: devices with addresses, routes, neighbours, rules, subnet.env. */
function stateOf({ node, subnetFile }: TestAgent): string {
  const of = (...args: string[]) => node.ns.must(args);
  return [
    of('ip', '-br', 'addr', 'show', 'type', 'tun'),
    of('sh', '-c', 'for f in /sys/class/net/flannel*/address; do cat $f; done'),
    of('ip', '-d', 'route', 'show', 'proto', '114').replaceAll(' linkdown', ''),
    of('ip', '-6', 'route', 'show', 'proto', '114').replaceAll(' linkdown', ''),
    of('ip', 'neigh', 'show', 'nud', 'permanent'),
    of('nft', 'list', 'table', 'inet', 'ripstop'),
    readFileSync(subnetFile, 'utf8'),
  ]
    .join('\n')
    .replace(/ +(UNKNOWN|UP|DOWN) +/g, ' ');
}

for (const backend of ['vxlan', 'udp'] as const)
  t.test(`killed and started again: traffic continues as before: ${backend}`, SKIP, async t => {
    const lab = labFor(t);
    const store = fileStoreFor(t, { ...DUAL, Backend: { Type: backend } });
    const { agents } = agentsFor(t, lab, [...store.flags, '--ip-masq']);
    for (const agent of agents) {
      agent.rememberSubnet();
      agent.start();
    }
    await Promise.all(agents.map(agent => agent.ready(1)));
    const [one, two] = lab.nodes as [Node, Node];
    const agent = agents[0]!;
    for (const from of lab.nodes)
      await until(
        'traffic',
        () =>
          from.pods[0]!.ns.attempt(['ping', '-c1', '-W1', (from === one ? two : one).pods[0]!.address[6]])
            .code === 0,
      );
    const before = stateOf(agent);
    t.match(before, /flannel/);

    const [there, back] = [new PingStream(one, two, 10), new PingStream(two, one, 10)];
    await Promise.all([there.flows(), back.flows()]);
    await agent.stop('SIGKILL');
    t.equal(stateOf(agent), before, 'what a killed agent leaves is all there is');
    agent.start();
    await agent.ready(1);
    const outcomes = [await there.end(), await back.end()];
    t.comment(`${backend}: gaps of ${outcomes.map(outcome => outcome.gapMs).join(' and ')} ms`);
    t.equal(stateOf(agent), before, 'same subnet, same MAC, same rules, nothing stale');
    await until('the lease confirmed', async () => !(await agent.ask('/status')).store.borrowed);
    t.equal((await agent.ask('/status')).networkStarts, 1);
    const { drops } = await agent.ask('/drops');
    t.same(
      drops.filter(({ reason }) => reason !== 'multicast'),
      [],
    );
  });

t.test('what changed while the agent was away leaves nothing stale', SKIP, async t => {
  const lab = labFor(t);
  const store = fileStoreFor(t);
  const { agents } = agentsFor(t, lab, store.flags);
  const [one, two] = lab.nodes as [Node, Node];
  const [agent, other] = agents as [TestAgent, TestAgent];
  for (const each of agents) {
    each.rememberSubnet();
    each.start();
  }
  await Promise.all(agents.map(each => each.ready(1)));
  const lease = join(store.path, 'subnets', '10.244.9.0-24');
  const mac = '0a:00:00:00:00:09';
  const value = {
    PublicIP: '172.31.0.9',
    BackendType: 'vxlan',
    BackendData: { VNI: 1, VtepMAC: mac },
  };
  writeFileSync(lease, JSON.stringify(value));
  await agent.ready(2);
  const kernel = () =>
    [
      ['ip', 'route'],
      ['ip', 'neigh'],
    ]
      .map(command => one.ns.must(command))
      .join('');
  t.match(kernel(), mac);

  await agent.stop('SIGKILL');
  rmSync(lease);
  agent.start();
  await agent.ready(1);
  t.notMatch(kernel(), new RegExp(`10\\.244\\.9\\.0|${mac}`), 'a node that left meanwhile');

  await agent.stop('SIGKILL');
  store.write({ Backend: { Type: 'udp' } });
  await other.ready(0);
  agent.start();
  const links = () => one.ns.must(['ip', '-br', 'link']);
  await until('the other backend', () => /flannel0/.test(links()) && !/flannel\.1/.test(links()));
  await Promise.all(agents.map(each => each.ready(1)));
  await until(
    'traffic',
    () => one.pods[0]!.ns.attempt(['ping', '-c1', '-W1', two.pods[0]!.address[4]]).code === 0,
  );

  // As if it had ended in the middle of that: a device of ours that no configuration names any more.
  await agent.stop('SIGKILL');
  one.ns.ip('tuntap add flannel.1 mode tap', 'tuntap add flannel.7 mode tap');
  agent.start();
  await agent.ready(1);
  await until('the leftover gone', () => !/flannel\.1/.test(links()));
  t.match(links(), 'flannel.7', 'what the agent never made stays');
});
