import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { findAccess } from '../../../src/agent/store/kube/access.ts';
import { KubeStore } from '../../../src/agent/store/kube/store.ts';
import { until } from '../../../src/lab/until.ts';
import { record } from '../../fixtures/agents/lease-store.ts';
import { KubeApi } from '../../fixtures/kube/kube-api.ts';

const STATUS = 'PATCH /api/v1/nodes/n1/status';
const EVENTS = 'POST /api/v1/namespaces/default/events';
const UNAVAILABLE = { type: 'NetworkUnavailable', status: 'True', reason: 'NodeInitialization' };

async function node(t: Test, setCondition = true) {
  const api = await KubeApi.start();
  const directory = mkdtempSync(join(tmpdir(), 'rs-kube-'));
  const configPath = join(directory, 'net-conf.json');
  writeFileSync(configPath, '{"Network":"10.244.0.0/16"}');
  api.addNode('n1', { podCIDR: '10.244.1.0/24', podCIDRs: ['10.244.1.0/24'] });
  api.setCondition('n1', UNAVAILABLE);
  const store = new KubeStore({
    access: findAccess(api.url, ''),
    nodeName: 'n1',
    annotationPrefix: 'flannel.alpha.coreos.com',
    configPath,
    setCondition,
  });
  const heard = record(store);
  await heard.until('the list', () => heard.events.includes('leases'));
  t.teardown(async () => {
    await store.close();
    await api.down();
    rmSync(directory, { recursive: true, force: true });
  });
  const conditionOf = () =>
    api.nodes.get('n1')!.status.conditions.find(({ type }) => type === 'NetworkUnavailable');
  const isFalse = () => conditionOf()?.status === 'False';
  const readyEvents = () => api.events.filter(({ reason }) => reason === 'RipstopReady');
  return { api, store, conditionOf, isFalse, readyEvents };
}

t.test('writes that fail (A9), the condition is set when they succeed', async t => {
  const { api, store, isFalse, readyEvents } = await node(t);
  for (const status of [500, 500, 0]) api.faults.push({ match: STATUS, status });
  for (const status of [0, 503]) api.faults.push({ match: EVENTS, status });
  store.ready('pod subnet 10.244.1.0/24');
  await until('the reason', () => /500/.test([...store.failing.values()].join()));
  await until('the condition', isFalse);
  await until('the Event', () => readyEvents().length === 1);
  await until('nothing to fail', () => store.failing.size === 0);
  t.equal(api.faults.length, 0, 'all faults were met');
});

t.test('condition that another client sets again: set back each time', async t => {
  const { api, store, isFalse, readyEvents } = await node(t);
  store.ready('x');
  await until('the condition', isFalse);
  for (let n = 0; n < 3; n++) {
    api.setCondition('n1', UNAVAILABLE);
    await until('it set back', isFalse);
  }
  await until('the Event', () => readyEvents().length === 1);
  t.equal(readyEvents().length, 1, 'one Event for one readiness');
  api.cutWatches();
  api.setCondition('n1', UNAVAILABLE);
  await until('a change in a gap of the watch seen', isFalse);
});

t.test('Node created again with the same podCIDR (K3): condition and Event for its uid', async t => {
  const { api, store, conditionOf, isFalse, readyEvents } = await node(t);
  store.ready('x');
  await until('the condition', isFalse);
  await until('the Event', () => readyEvents().length === 1);
  api.recreateNode('n1', 'another', [UNAVAILABLE]);
  await until('the condition', isFalse);
  t.match(conditionOf(), { reason: 'RipstopIsUp' });
  await until('the Event of the new Node', () => readyEvents().length === 2);
  t.match(readyEvents()[1], { involvedObject: { uid: 'another' } });
  // A Node of which the deletion was not seen.
  api.cutWatches();
  api.recreateNode('n1', 'a third one');
  api.compact();
  await until('the condition', isFalse);
  await until('its Event', () => readyEvents().length === 3);
  t.match(readyEvents()[2], { involvedObject: { uid: 'a third one' } });
});

t.test('before the agent is ready, and where the flag says no, the condition is left alone', async t => {
  const { api, store, conditionOf, readyEvents } = await node(t, false);
  store.ready('x');
  await until('the Event', () => readyEvents().length === 1);
  api.annotate('n1', { a: 'b' });
  t.match(conditionOf(), UNAVAILABLE);
  const other = await node(t);
  other.api.annotate('n1', { a: 'b' });
  t.match(other.conditionOf(), UNAVAILABLE);
  t.notOk(other.api.requests.some(line => line.startsWith('PATCH')));
});

t.test('the store is closed while a write fails', async t => {
  const { api, store, isFalse } = await node(t);
  for (let n = 0; n < 50; n++) api.faults.push({ match: STATUS, status: 500 });
  store.ready('x');
  await until('the reason', () => store.failing.size > 0);
  await store.close();
  t.notOk(isFalse());
});

t.test('the store is closed while the server asks to wait: no further attempt is made', async t => {
  const { api, store } = await node(t);
  for (let n = 0; n < 5; n++)
    api.faults.push({ match: STATUS, status: 429, headers: { 'retry-after': '1' } });
  const attempts = () => api.requests.filter(line => line === STATUS).length;
  store.ready('x');
  await until('the first attempt', () => attempts() === 1);
  await store.close();
  t.equal(attempts(), 1);
});
