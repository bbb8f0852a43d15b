import { readFileSync } from 'node:fs';
import t from 'tap';
import type { SettingStatus } from '../../../src/api/answers.ts';
import { until } from '../../../src/lab/until.ts';
import { agentsFor, fileStoreFor } from '../../fixtures/agents/agents.ts';
import { MAIN } from '../../fixtures/agents/run-node.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/* Settings of the whole cluster, in the object Ripstop of the backend in net-conf.json, reach running nodes. */

const skip = skipUnless('root', 'netns', 'tun', 'nft', 'ip', 'ping');

const backend = (ripstop: object) => ({ Backend: { Type: 'vxlan', Ripstop: ripstop } });

t.test('changed shape of the device: it is created again', { skip }, async t => {
  const lab = labFor(t);
  const [one, two] = lab.nodes;
  const store = fileStoreFor(t);
  const { agents } = agentsFor(t, lab, store.flags);
  const [first] = agents;
  for (const agent of agents) {
    agent.rememberSubnet();
    agent.start();
  }
  for (const agent of agents) await agent.ready(1);
  const ping = ['ping', '-c', '1', '-W', '2', two!.pods[0]!.address[4]];
  const carries = () => until('traffic', () => one!.pods[0]!.ns.attempt(ping).code === 0);
  const multiQueue = () => {
    const [link] = JSON.parse(one!.ns.must(['ip', '-j', '-d', 'link', 'show', 'flannel.1']));
    return link.linkinfo.info_data.multi_queue === true;
  };
  await carries();
  let starts = 1;
  const settings = [{ workers: 2 }, { workers: 1 }, { driver: 'tuntap2' }, { driver: 'native' }];
  for (const ripstop of settings) {
    store.write(backend(ripstop));
    starts++;
    await until(`the overlay with ${JSON.stringify(ripstop)}`, async () => {
      const { ready, networkStarts } = await first!.ask('/status');
      return ready && networkStarts === starts;
    });
    await carries();
    t.equal(multiQueue(), ripstop.workers === 2);
  }
  await first!.stop();
  first!.start('--workers=2');
  await first!.ready(1);
  await carries();
  t.ok(multiQueue(), 'another number of workers after a restart');
  t.notMatch(readFileSync(first!.log, 'utf8'), /EINUSE|EEXIST/);
});

t.test('a setting of the cluster reaches each node without a restart of its process', { skip }, async t => {
  const lab = labFor(t);
  const [one, two] = lab.nodes;
  const store = fileStoreFor(t, backend({ workers: 2, offloads: { tso: false } }));
  const { agents } = agentsFor(t, lab, store.flags);
  const [first, second] = agents;
  for (const agent of agents) agent.rememberSubnet();
  first!.start();
  second!.start('--workers=1');
  for (const agent of agents) await agent.ready(1);
  const settingsOf = async (agent = first!): Promise<Record<string, SettingStatus>> => {
    const { settings } = await agent.ask('/status');
    return Object.fromEntries(settings.map(setting => [setting.name, setting]));
  };
  t.match(await settingsOf(), {
    workers: { value: 2, origin: 'cluster' },
    'offloads.tso': { value: false, origin: 'cluster' },
    sourcePorts: { value: 16, origin: 'default' },
  });
  t.match((await first!.ask('/status')).overlays[0]!.offloads, { tso: 'off by configuration' });
  t.match(await settingsOf(second), { workers: { value: 1, origin: 'flag' } }, 'a flag comes first');
  const shown = one!.ns.must([process.execPath, MAIN, 'status', '--socket', first!.socket]);
  t.match(shown, /^workers +2 +cluster$/m);
  const [, table = ''] = shown.split('\nSETTING');
  t.ok(table.split('\n').every(line => line.length <= 80));

  const { pid } = await first!.ask('/status');
  store.write(backend({ workers: 2, txQueueLength: 500 }));
  await until('the new queue length', async () => (await settingsOf()).txQueueLength?.value === 500);
  t.match(
    readFileSync(first!.log, 'utf8'),
    /restarting the overlay, .*txQueueLength is 500 \(cluster\), was 1000/,
  );
  const again = await first!.ready(1);
  t.equal(again.pid, pid);
  t.match(one!.ns.must(['ip', '-j', 'link', 'show', 'flannel.1']), /"txqlen":500/);

  store.write(backend({ workers: 2, txQueueLength: 500, driver: 'tuntap2' }));
  await until('the impossible value to be named', () =>
    /keeping the present setting: Backend\.Ripstop\.driver: .*2 queues/.test(
      readFileSync(first!.log, 'utf8'),
    ),
  );
  t.match(await settingsOf(), { workers: { value: 2 }, driver: { value: 'native', origin: 'default' } });
  store.write(backend({ workers: 'many', txQueueLength: 500 }));
  await until('the fault to be named', () =>
    /keeping the present setting: Backend\.Ripstop\.workers: .*many/.test(readFileSync(first!.log, 'utf8')),
  );
  t.match(await settingsOf(), { workers: { value: 2, origin: 'cluster' } });
  t.equal((await first!.ready(1)).networkStarts, again.networkStarts, 'and traffic is not interrupted');
  const ping = ['ping', '-c', '1', '-W', '2', two!.pods[0]!.address[4]];
  await until('traffic', () => one!.pods[0]!.ns.attempt(ping).code === 0);
});
