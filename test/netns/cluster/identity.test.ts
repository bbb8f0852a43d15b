import t from 'tap';
import type { Status } from '../../../src/api/answers.ts';
import type { Node } from '../../../src/lab/topology.ts';
import { until } from '../../../src/lab/until.ts';
import { agentsFor, fileStoreFor, type TestAgent } from '../../fixtures/agents/agents.ts';
import { PingStream } from '../../fixtures/agents/ping-stream.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

type Owner = Parameters<typeof labFor>[0] & Parameters<typeof agentsFor>[0];

const SKIP = { skip: skipUnless('root', 'netns', 'tun', 'nft') };
const DUAL = { EnableIPv6: true, IPv6Network: 'fd00:10:244::/48' };
const EVERY_MS = 10;
/** Pings of more than 6 s: longer than the agent waits before it moves, and several of its comparisons. */
const SOME_PINGS = 700;

const statusOf = (agent: TestAgent): Promise<Status> => agent.ask('/status');
const reaches = (from: Node, to: Node, family: 4 | 6 = 4): boolean =>
  from.pods[0]!.ns.attempt(['ping', '-c1', '-W1', to.pods[0]!.address[family]]).code === 0;

/** Agents that choose the interface of the default route, which is eth0. */
async function started(t: Owner, config: Record<string, unknown>, ...addresses: string[]) {
  const lab = labFor(t);
  const store = fileStoreFor(t, config);
  const { agents } = agentsFor(t, lab, store.flags);
  for (const node of lab.nodes)
    node.ns.ip(
      'route add default via 172.31.0.254 dev eth0 metric 100',
      'route add ::/0 via fd31::fe dev eth0 metric 1024',
    );
  for (const address of addresses) lab.nodes[0]!.ns.ip(`addr add ${address} dev eth0`);
  for (const agent of agents) {
    agent.iface = [];
    agent.rememberSubnet();
    agent.start();
  }
  await Promise.all(agents.map(agent => agent.ready(1)));
  const [one, two] = lab.nodes as [Node, Node];
  for (const family of config.EnableIPv6 ? ([4, 6] as const) : ([4] as const))
    await until('traffic', () => reaches(one, two, family) && reaches(two, one, family));
  return { one, two, agent: agents[0]!, other: agents[1]! };
}

t.test('a default route with a lower metric (A4), the published address stays', SKIP, async t => {
  const { one, two, agent } = await started(t, {});
  const { published } = (await statusOf(agent)).underlay!;
  const stream = new PingStream(one, two, EVERY_MS);
  one.ns.ip(
    'link add wwan0 type veth peer name modem',
    'link set modem up',
    'link set wwan0 up',
    'addr add 10.99.0.2/24 dev wwan0',
    'route add default via 10.99.0.1 dev wwan0 metric 50',
  );
  await until('pings', () => stream.reached >= SOME_PINGS);
  const { sent, lost } = await stream.end();
  t.equal(lost, 0, `of ${sent} pings`);
  t.match(await statusOf(agent), { networkStarts: 1, underlay: { name: 'eth0', published } });

  await agent.stop();
  agent.start();
  t.match((await agent.ready(1)).underlay, { name: 'eth0', published }, 'a restart keeps it');
});

t.test('addresses that come and go in dual stack (A5), the published ones stay', SKIP, async t => {
  const { one, two, agent } = await started(t, DUAL);
  const { published } = (await statusOf(agent)).underlay!;
  const streams = ([4, 6] as const).map(family => new PingStream(one, two, EVERY_MS, family));
  const reached = () => Math.min(...streams.map(stream => stream.reached));
  // A VIP, a second prefix as router advertisements bring it, a renumbering in which the former prefix is deprecated.
  one.ns.ip('addr add fd31::100/128 dev eth0 nodad', 'addr add 172.31.0.100/32 dev eth0');
  one.ns.ip('addr add fd32::1/64 dev eth0 nodad');
  await until('pings', () => reached() >= SOME_PINGS / 2);
  one.ns.ip('addr change fd31::1/64 dev eth0 preferred_lft 0');
  await until('pings', () => reached() >= SOME_PINGS);
  one.ns.ip('addr del fd31::100/128 dev eth0', 'addr del 172.31.0.100/32 dev eth0');
  await until('pings', () => reached() >= SOME_PINGS * 2);
  for (const stream of streams) {
    const { sent, lost } = await stream.end();
    t.equal(lost, 0, `of ${sent} pings`);
  }
  t.match(await statusOf(agent), { networkStarts: 1, ready: true, underlay: { name: 'eth0', published } });
});

t.test('the main address is flushed while a VIP is on the interface (A5)', SKIP, async t => {
  const { one, two, agent, other } = await started(t, {}, '172.31.0.100/32');
  const { published } = (await statusOf(agent)).underlay!;
  const flush = () => one.ns.ip('addr del 172.31.0.1/24 dev eth0');
  const add = () =>
    one.ns.ip('addr add 172.31.0.1/24 dev eth0', 'route replace default via 172.31.0.254 dev eth0');

  flush();
  await until('the reason', async () =>
    (await statusOf(agent)).reasons.join().includes('underlay: 172.31.0.1 of eth0 is gone; moving to eth0'),
  );
  add();
  await agent.ready(1);
  t.match(
    await statusOf(agent),
    { networkStarts: 1, underlay: { published } },
    'it returns at once: no move',
  );
  await until('traffic', () => reaches(one, two) && reaches(two, one));

  flush();
  one.ns.ip('route add 172.31.0.0/24 dev eth0');
  await until('the VIP taken', async () => (await other.ask('/peers'))[0]?.address === '172.31.0.100');
  await agent.ready(1);
  await until('traffic by the VIP', () => reaches(one, two) && reaches(two, one));
  await agent.stop();
  agent.start();
  t.match((await agent.ready(1)).underlay, { published: ['172.31.0.100'] }, 'a restart keeps it as well');
  one.ns.ip('route del 172.31.0.0/24 dev eth0');
  add();
  await until(
    'the published address again',
    async () => (await other.ask('/peers'))[0]?.address === '172.31.0.1',
  );
  await until('traffic', () => reaches(one, two) && reaches(two, one));
  t.match((await agent.ready(1)).underlay, { published });
});

for (const [name, config, flags] of [
  ['vxlan', DUAL, []],
  ['vxlan by the kernel', DUAL, ['--data-plane=kernel']],
  ['host-gw', { ...DUAL, Backend: { Type: 'host-gw' } }, []],
] as const)
  t.test(`--public-ip is another address of the node (J7), tunnels begin there: ${name}`, SKIP, async t => {
    const lab = labFor(t);
    const store = fileStoreFor(t, config);
    const { agents } = agentsFor(t, lab, [...store.flags, ...flags]);
    const [one, two] = lab.nodes as [Node, Node];
    two.ns.ip('addr add 172.31.0.202/24 dev eth0', 'addr add fd31::202/64 dev eth0 nodad');
    const isDual = 'EnableIPv6' in config;
    for (const agent of agents) agent.rememberSubnet();
    agents[0]!.start();
    agents[1]!.start('--public-ip=172.31.0.202', ...(isDual ? ['--public-ipv6=fd31::202'] : []));
    await Promise.all(agents.map(agent => agent.ready(1)));
    const addresses = isDual ? ['172.31.0.202', 'fd31::202'] : ['172.31.0.202'];
    t.match((await statusOf(agents[1]!)).underlay, { name: 'eth0', addresses, published: addresses });
    for (const family of isDual ? ([4, 6] as const) : ([4] as const))
      await until('traffic', () => reaches(one, two, family) && reaches(two, one, family));
  });

t.test(
  '--public-ip on the loopback device (J7) with udp, it is bound and eth0 is the interface',
  SKIP,
  async t => {
    const lab = labFor(t);
    const store = fileStoreFor(t, { Backend: { Type: 'udp' } });
    const { agents } = agentsFor(t, lab, store.flags);
    const [one, two] = lab.nodes as [Node, Node];
    two.ns.ip('addr add 192.0.2.2/32 dev lo', 'route add default via 172.31.0.1 dev eth0');
    one.ns.ip('route add 192.0.2.2/32 via 172.31.0.2 dev eth0');
    for (const agent of agents) agent.rememberSubnet();
    agents[1]!.iface = [];
    agents[0]!.start();
    agents[1]!.start('--public-ip=192.0.2.2');
    await Promise.all(agents.map(agent => agent.ready(1)));
    t.match((await statusOf(agents[1]!)).underlay, { name: 'eth0', mtu: 1500, addresses: ['192.0.2.2'] });
    await until('traffic', () => reaches(one, two) && reaches(two, one));
  },
);
