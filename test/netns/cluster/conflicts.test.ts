import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { CHECKOUT } from '../../../bench/lab/tool.ts';
import type { Node } from '../../../src/lab/topology.ts';
import { until } from '../../../src/lab/until.ts';
import { agentsFor, fileStoreFor, type TestAgent } from '../../fixtures/agents/agents.ts';
import { PingStream } from '../../fixtures/agents/ping-stream.ts';
import { readOutput } from '../../fixtures/json-output.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/*
 * A lease that claims what another node has: three agents under traffic, and leases that the test writes.
 */

const SKIP = { skip: skipUnless('root', 'netns', 'tun', 'nft') };
/** Pings of each pair while a conflict is there. */
const PINGS = 60;

type Backend = 'vxlan' | 'udp' | 'host-gw';

const statusOf = (agent: TestAgent) => agent.ask('/status');
const peersOf = (agent: TestAgent) => agent.ask('/peers');
const reaches = (from: Node, to: Node, family: 4 | 6) =>
  from.pods[0]!.ns.attempt(['ping', '-c1', '-W1', to.pods[0]!.address[family]]).code === 0;

function command(agent: TestAgent, ...words: string[]): string {
  const argv = [process.execPath, `${CHECKOUT}dist/src/cli/main.js`, ...words, '--socket', agent.socket];
  return agent.node.ns.attempt(argv).stdout;
}

for (const backend of ['vxlan', 'udp', 'host-gw'] as const)
  t.test(`one bad lease costs the other nodes nothing: ${backend}`, SKIP, t => conflicts(t, backend));

async function conflicts(t: Test, backend: Backend): Promise<void> {
  const lab = labFor(t, { nodes: 3 });
  const [one, two, three] = lab.nodes as [Node, Node, Node];
  const dual = { EnableIPv6: true, IPv6Network: 'fd00:10:244::/48', Backend: { Type: backend } };
  const store = fileStoreFor(t, dual);
  const { agents } = agentsFor(t, lab, store.flags);
  for (const agent of agents) {
    agent.rememberSubnet();
    agent.start();
  }
  await Promise.all(agents.map(agent => agent.ready(2)));
  for (const family of [4, 6] as const)
    for (const to of [two, three]) await until(`IPv${family}`, () => reaches(one, to, family));
  const macs = (await peersOf(agents[1]!))
    .filter(({ address }) => /31\.0\.1$|::1$/.test(address))
    .map(({ mac }) => mac);

  /** A lease of a node that sends heartbeats, as `last` of the underlay. */
  const write = (key: string, last: number, mac: (string | null)[] = []) => {
    const addresses = {
      PublicIP: `172.31.0.${last}`,
      PublicIPv6: `${one.underlay[6].replace(/1$/, '')}${last}`,
    };
    const data = (at: number) => ({
      VNI: 1,
      VtepMAC: mac[at] ?? `0a:00:00:00:0${at}:${last.toString().padStart(2, '0')}`,
    });
    const tunnel = backend === 'vxlan' ? { BackendData: data(0), BackendV6Data: data(1) } : {};
    mkdirSync(join(store.path, 'nodes'), { recursive: true });
    // Under the address of node1 the heartbeat is that of node1.
    if (last !== 1) writeFileSync(join(store.path, 'nodes', addresses.PublicIP), 'aaa-bad/1');
    const text = JSON.stringify({ ...addresses, BackendType: backend, ...tunnel });
    writeFileSync(join(store.path, 'subnets', key), text);
  };
  const bad = {
    equal: '10.244.1.0-24&fd00:10:244:1::-65',
    inside: '10.244.1.128-25&fd00:10:244:1:8000::-65',
    around: '10.244.0.0-22&fd00:10:244::-62',
    address: '10.244.0.0-24&fd00:10:244:ff00::-64',
    mac: '10.244.66.0-24&fd00:10:244:66::-64',
    later: '10.244.3.64-26&fd00:10:244:3:8000::-66',
  };
  const streams = ([4, 6] as const).flatMap(family => [
    new PingStream(two, one, 50, family),
    new PingStream(three, two, 50, family),
    new PingStream(one, three, 50, family),
  ]);
  write(bad.equal, 91);
  write(bad.inside, 92);
  write(bad.around, 93);
  if (backend === 'vxlan') {
    write(bad.address, 1);
    write(bad.mac, 94, macs);
  }
  write(bad.later, 95);
  const refused = [bad.equal, bad.inside, bad.later, ...(backend === 'vxlan' ? [bad.address, bad.mac] : [])];
  for (const agent of agents)
    await until(`node${agent.node.index} to refuse them`, async () => {
      const keys = new Set((await statusOf(agent)).rejected.map(({ key }) => key));
      return refused.every(key => keys.has(key));
    });
  for (const agent of agents) {
    const { ready, rejected } = await statusOf(agent);
    t.ok(ready, `node${agent.node.index} stays ready`);
    t.notOk(
      rejected.some(({ key }) => key === bad.around),
      'the range around others is taken',
    );
    const peers = new Set((await peersOf(agent)).map(({ address }) => address));
    for (const node of lab.nodes)
      if (node !== agent.node)
        t.ok(peers.has(node.underlay[4]), `node${agent.node.index} keeps node${node.index}`);
  }
  const doctor = readOutput('ripstop-doctor/1', command(agents[1]!, 'doctor', '--json'));
  const plan = command(agents[1]!, 'plan');
  for (const key of refused) {
    t.ok(
      doctor.findings.some(({ what }) => what.includes(key)),
      `doctor names ${key}`,
    );
    t.ok(
      plan.split('\n').some(line => line.startsWith('!') && line.includes(key)),
      `plan names ${key}`,
    );
  }
  await until('pings while the bad leases exist', () => streams.every(stream => stream.reached > PINGS));
  for (const stream of streams) {
    const { sent, lost } = await stream.end();
    t.equal(lost, 0, `of ${sent} pings`);
  }

  // The saved state tells a start who was a peer.
  await agents[1]!.stop('SIGKILL');
  agents[1]!.start();
  await until('it back, with the same peers', async () => {
    const peers = await peersOf(agents[1]!).catch(() => []);
    const { rejected = [] } = (await statusOf(agents[1]!).catch(() => undefined)) ?? {};
    const keys = new Set(rejected.map(({ key }) => key));
    return peers.some(({ address }) => address === one.underlay[4]) && refused.every(key => keys.has(key));
  });
  await until('traffic again', () => reaches(two, one, 4) && reaches(two, one, 6));

  // The lease in whose way a known peer stood is taken up as soon as the peer's lease goes.
  await agents[2]!.stop();
  rmSync(join(store.path, 'subnets', bad.around));
  rmSync(join(store.path, 'subnets', '10.244.3.0-24&fd00:10:244:3::-64'));
  await until('the refused node as a peer', async () =>
    (await peersOf(agents[0]!)).some(({ id }) => id === bad.later),
  );
}

t.test('a lease on the network between the nodes leaves their routes alone', SKIP, async t => {
  const lab = labFor(t, { nodes: 2 });
  const store = fileStoreFor(t, { Network: '172.16.0.0/12' });
  const { agents } = agentsFor(t, lab, store.flags);
  for (const agent of agents) agent.start();
  await Promise.all(agents.map(agent => agent.ready(1)));
  const [one, two] = lab.nodes as [Node, Node];
  const connected = () => one.ns.must(['ip', 'route', 'show', '172.31.0.0/24']).trim();
  const before = connected();
  t.match(before, /dev eth0 proto kernel/);
  const lease = { PublicIP: '172.31.0.77', BackendType: 'vxlan' };
  for (const [key, mac] of [
    ['172.31.0.0-24', '0a:00:00:00:00:77'],
    ['172.31.0.128-25', '0a:00:00:00:00:78'],
  ] as const)
    writeFileSync(
      join(store.path, 'subnets', key),
      JSON.stringify({ ...lease, BackendData: { VNI: 1, VtepMAC: mac } }),
    );
  await until('both refused', async () => (await statusOf(agents[0]!)).rejected.length === 2);
  t.match((await statusOf(agents[0]!)).rejected, [{ reason: 'underlay' }, { reason: 'underlay' }]);
  // Another network that this node is connected to, and that a lease has.
  one.ns.ip(
    'link add lan1 type veth peer name lan2',
    'link set lan2 up',
    'addr add 172.20.5.1/24 dev lan1',
    'link set lan1 up',
  );
  writeFileSync(
    join(store.path, 'subnets', '172.20.5.0-24'),
    JSON.stringify({
      ...lease,
      PublicIP: '172.31.0.79',
      BackendData: { VNI: 1, VtepMAC: '0a:00:00:00:00:79' },
    }),
  );
  await until('it on the other node', () => two.ns.must(['ip', 'route']).includes('172.20.5.0/24 via'));
  await until('plan to name it', () =>
    command(agents[0]!, 'plan').includes('! route 172.20.5.0/24 is not set: lan1'),
  );
  t.match(command(agents[0]!, 'doctor'), /no traffic with the pods in 172\.20\.5\.0\/24: lan1 is connected/);
  t.match(
    one.ns.must(['ip', 'route', 'show', '172.20.5.0/24']),
    /^172\.20\.5\.0\/24 dev lan1 proto kernel[^\n]*\n$/,
  );
  t.equal(connected(), before);
  t.ok((await statusOf(agents[0]!)).ready);

  await agents[0]!.stop();
  writeFileSync(
    join(agents[0]!.stateDir, 'subnet.env'),
    'FLANNEL_NETWORK=172.16.0.0/12\nFLANNEL_SUBNET=172.31.0.1/24\n',
  );
  for (const key of ['172.31.0.0-24', '172.31.0.128-25']) rmSync(join(store.path, 'subnets', key));
  rmSync(join(agents[0]!.stateDir, 'last-known.json'));
  agents[0]!.start();
  const { lease: own } = await agents[0]!.ready(2);
  t.notMatch(
    own?.key,
    /^172\.31\.0\./,
    'no subnet of that network is taken, not even one of an earlier time',
  );
  t.equal(connected(), before);
});
