import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { Status } from '../../../src/api/answers.ts';
import { until } from '../../../src/lab/until.ts';
import { agentsFor, fileStoreFor, type TestAgent } from '../../fixtures/agents/agents.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/* Changes of net-conf.json under running agents: what restarts the overlay, what does not, and what is saved. */

const SKIP = { skip: skipUnless('root', 'netns', 'tun', 'nft', 'ip') };

const statusOf = (agent: TestAgent): Promise<Status> => agent.ask('/status');
const workersOf = ({ settings }: Status) => settings.find(({ name }) => name === 'workers')?.value;
const savedBy = (agent: TestAgent) => readFileSync(join(agent.stateDir, 'last-known.json'), 'utf8');
const hostGateway = (workers: number) => ({ Backend: { Type: 'host-gw', Ripstop: { workers } } });

/** A file store and the agent of one node, which is ready. */
async function startOne(owner: Parameters<typeof labFor>[0], config: Record<string, unknown>) {
  const lab = labFor(owner, { podsPerNode: 0 });
  const store = fileStoreFor(owner, config);
  const { agents } = agentsFor(owner, lab, store.flags);
  const [agent] = agents as [TestAgent];
  agent.start();
  await agent.ready(0);
  return { agent, store };
}

t.test('settings of the data plane do not restart plain routes, and are saved', SKIP, async t => {
  const { agent, store } = await startOne(t, hostGateway(2));
  store.write(hostGateway(3));
  await until('the setting', async () => workersOf(await statusOf(agent)) === 3);
  t.match(await statusOf(agent), { ready: true, networkStarts: 1 });
  await until('it saved', () => savedBy(agent).includes(String.raw`\"workers\":3`));
  t.notMatch(readFileSync(agent.log, 'utf8'), /restarting the overlay/);
});

t.test('settings that restart the overlay are saved without a lease event', SKIP, async t => {
  const vxlan = (workers: number) => ({ Backend: { Type: 'vxlan', Ripstop: { workers } } });
  const { agent, store } = await startOne(t, vxlan(1));
  store.write(vxlan(2));
  await until('the restart', async () => (await statusOf(agent)).networkStarts === 2);
  await until('it saved', () => savedBy(agent).includes(String.raw`\"workers\":2`));
});

t.test(
  'a configuration that a node cannot follow leaves it ready; the former one restores all',
  SKIP,
  async t => {
    const vxlan = (MTU: number) => ({ Backend: { Type: 'vxlan', MTU } });
    const { agent, store } = await startOne(t, vxlan(1400));
    store.write(vxlan(100));
    const reasons = async () =>
      (await statusOf(agent)).failing.map(({ part, reason }) => `${part}: ${reason}`);
    await until('the fault', async () => (await reasons()).some(line => /^configuration: .*MTU/.test(line)));
    t.match(await statusOf(agent), { ready: true, networkStarts: 1, reasons: [] });
    store.write(vxlan(1400));
    await until('no fault', async () => (await reasons()).length === 0);
    store.write(vxlan(1300));
    await until('the next configuration', async () => {
      const { ready, networkStarts } = await statusOf(agent);
      return ready && networkStarts > 1;
    });
    t.match(await statusOf(agent), { networkStarts: 2, overlays: [{ mtu: 1250 }] });
  },
);

t.test('an address that changes under a configuration that is refused, followed', SKIP, async t => {
  const good = { Backend: { Type: 'vxlan', MTU: 1400 } };
  const { agent, store } = await startOne(t, good);
  const path = join(store.path, 'config.json');
  const breaks: readonly [fault: RegExp, act: () => void][] = [
    [/too small|MTU/, () => store.write({ Backend: { Type: 'vxlan', MTU: 100 } })],
    [/JSON/, () => writeFileSync(path, '{')],
    [/IPv6/, () => store.write({ ...good, EnableIPv6: true, IPv6Network: 'fd00:10:244::/48' })],
    [/does not exist/, () => rmSync(path)],
  ];
  agent.node.ns.must(['ip', '-6', 'addr', 'flush', 'dev', 'eth0']);
  let address = '172.31.0.1';
  for (const [n, [fault, act]] of breaks.entries()) {
    act();
    const next = `172.31.0.${41 + n}`;
    agent.node.ns.ip(`addr del ${address}/24 dev eth0`, `addr add ${next}/24 dev eth0`);
    address = next;
    let status: Status | undefined;
    await until(`the address ${next}, under the configuration before`, async () => {
      status = await statusOf(agent);
      return status.ready && status.overlays[0]?.address === next;
    });
    t.match(status, { networkStarts: n + 2, overlays: [{ mtu: 1350 }] });
    await until('the fault', async () =>
      (await statusOf(agent)).failing.some(
        ({ part, reason }) => part === 'configuration' && fault.test(reason),
      ),
    );
    store.write(good);
    await until('no fault', async () => (await statusOf(agent)).failing.length === 0);
  }
  store.write({ Backend: { Type: 'vxlan', MTU: 1300 } });
  await until('the next configuration', async () => (await statusOf(agent)).overlays[0]?.mtu === 1250);
});

t.test('a restart ends a conflict of addresses: ready, and its reason is logged', SKIP, async t => {
  const vxlan = (txQueueLength: number) => ({ Backend: { Type: 'vxlan', Ripstop: { txQueueLength } } });
  const { agent, store } = await startOne(t, vxlan(500));
  const heartbeat = join(store.path, 'nodes', agent.node.underlay[4]);
  writeFileSync(heartbeat, 'rival/1');
  await until('the conflict', async () => (await statusOf(agent)).reasons.join().includes('node rival'));
  store.write(vxlan(600));
  await until('the first attempt to fail', async () =>
    (await statusOf(agent)).failing.some(({ part }) => part === 'next overlay'),
  );
  rmSync(heartbeat);
  await until('the restart', async () => (await statusOf(agent)).networkStarts === 2);
  await until('it ready', async () => (await statusOf(agent)).ready);
  t.match(
    readFileSync(agent.log, 'utf8'),
    /restarting the overlay, traffic is interrupted: the network configuration changed: txQueueLength is 600/,
  );
});

t.test('the UDP port is taken: the lease is logged once', SKIP, async t => {
  const lab = labFor(t, { podsPerNode: 0 });
  const store = fileStoreFor(t);
  const [agent] = agentsFor(t, lab, store.flags).agents as [TestAgent];
  agent.rememberSubnet();
  const program = "require('dgram').createSocket('udp4').bind(8472, () => console.log('bound'))";
  const other = agent.node.ns.launch([process.execPath, '-e', program]);
  await other.saying(/bound/);
  agent.start();
  const file = join(store.path, 'subnets', '10.244.1.0-24');
  const acquired = new Set<number>();
  await until('several attempts', () => {
    const time = statSync(file, { throwIfNoEntry: false })?.mtimeMs;
    if (time !== undefined) acquired.add(time);
    return acquired.size > 1;
  });
  await other.stop();
  await agent.ready(0);
  t.equal(readFileSync(agent.log, 'utf8').split('holding a lease').length - 1, 1);
});

t.test('plan and a start from the saved state name wrong settings of the cluster', SKIP, async t => {
  const wrong = { Backend: { Type: 'vxlan', Ripstop: { workres: 2 } } };
  const { agent } = await startOne(t, wrong);
  const says = /Backend\.Ripstop\.workres: unknown key; did you mean/;
  t.match(readFileSync(agent.log, 'utf8'), says);
  t.match(agent.plan(), says);
  await until('the state saved', () => savedBy(agent).includes('workres'));
  await agent.stop();
  const { length } = readFileSync(agent.log, 'utf8');
  agent.start();
  await agent.ready(0);
  const log = readFileSync(agent.log, 'utf8').slice(length);
  t.match(log, /starting from the saved state/);
  t.match(log, says);
});
