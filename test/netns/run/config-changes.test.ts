import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { until } from '../../../bench/lab/until.ts';
import type { Status } from '../../../src/api/answers.ts';
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
