import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { parseNetConf } from '../../../src/agent/config/net-conf.ts';
import { findAccess } from '../../../src/agent/store/kube/access.ts';
import { retryAfterSeconds } from '../../../src/agent/store/kube/kube-error.ts';
import { annotationNames } from '../../../src/agent/store/kube/node.ts';
import { KubeStore } from '../../../src/agent/store/kube/store.ts';
import { formatPrefix } from '../../../src/ip/prefix.ts';
import { until } from '../../../src/lab/until.ts';
import { leaseAttributes, record } from '../../fixtures/agents/lease-store.ts';
import { KubeApi } from '../../fixtures/kube/kube-api.ts';

/*
 * Against an HTTP server of our own that behaves as the Kubernetes API documents. Not tried on a real API server:
 * token rotation by a real kubelet, priority and fairness, admission.
 */

const P = 'flannel.alpha.coreos.com';
const TEXT = JSON.stringify({
  Network: '10.244.0.0/16',
  EnableIPv6: true,
  IPv6Network: 'fc00::/48',
  Backend: { Type: 'vxlan' },
});
const CONFIG = parseNetConf(TEXT, 'x', { ranges: false });
const DUAL = { podCIDR: '10.244.3.0/24', podCIDRs: ['10.244.3.0/24', 'fc00:0:0:3::/64'] };

async function cluster(t: Test) {
  const api = await KubeApi.start();
  const directory = mkdtempSync(join(tmpdir(), 'rs-kube-'));
  const configPath = join(directory, 'net-conf.json');
  writeFileSync(configPath, TEXT);
  const stores: KubeStore[] = [];
  t.teardown(async () => {
    await Promise.all(stores.map(store => store.close()));
    await api.down();
    rmSync(directory, { recursive: true, force: true });
  });
  const open = (nodeName: string, access = findAccess(api.url, '')) => {
    const store = new KubeStore({
      access,
      nodeName,
      annotationPrefix: P,
      configPath,
      setCondition: true,
      configPollMs: 50,
    });
    stores.push(store);
    return store;
  };
  return { api, open, configPath };
}

/** Annotations of a node that flannel runs. */
function flannel(publicIp: string, mac: string, mac6?: string): Record<string, string> {
  return {
    [`${P}/kube-subnet-manager`]: 'true',
    [`${P}/backend-type`]: 'vxlan',
    [`${P}/backend-data`]: `{"VNI":1,"VtepMAC":"${mac}"}`,
    [`${P}/public-ip`]: publicIp,
    ...(mac6
      ? { [`${P}/public-ipv6`]: 'fd00::9', [`${P}/backend-v6-data`]: `{"VNI":1,"VtepMAC":"${mac6}"}` }
      : {}),
  };
}

t.test('the lease is the Node’s podCIDRs; what peers need goes into flannel’s annotations', async t => {
  const { api, open } = await cluster(t);
  api.addNode('n1', DUAL, { other: 'stays' });
  const store = open('n1');
  t.same(await store.networkConfig().then(({ text }) => text), TEXT);
  const attributes = {
    ...leaseAttributes('192.0.2.1'),
    publicIpv6: 'fd00::1',
    backendV6Data: { VNI: 1, VtepMAC: '0a:00:00:00:00:06' },
  };
  const lease = await store.acquire({ config: CONFIG, attributes, previous: undefined });
  t.equal(lease.key, 'n1');
  t.equal(formatPrefix(lease.v4!), '10.244.3.0/24');
  t.equal(formatPrefix(lease.v6!), 'fc00:0:0:3::/64');
  t.same(api.nodes.get('n1')!.metadata.annotations, {
    other: 'stays',
    [`${P}/kube-subnet-manager`]: 'true',
    [`${P}/backend-type`]: 'vxlan',
    [`${P}/public-ip`]: '192.0.2.1',
    [`${P}/backend-data`]: '{"VNI":1,"VtepMAC":"0a:00:00:00:00:01"}',
    [`${P}/public-ipv6`]: 'fd00::1',
    [`${P}/backend-v6-data`]: '{"VNI":1,"VtepMAC":"0a:00:00:00:00:06"}',
  });
  const patches = () => api.requests.filter(line => line.startsWith('PATCH')).length;
  const before = patches();
  await store.acquire({ config: CONFIG, attributes, previous: undefined });
  t.equal(patches(), before, 'nothing to change, nothing written');

  store.ready('pod subnet n1');
  await until('the Event', () => api.events.length === 1);
  store.ready('pod subnet n1');
  await until('the next Event', () => api.events.length === 2);
  const conditions = api.nodes.get('n1')!.status.conditions;
  t.match(conditions, [
    { type: 'Ready', status: 'True' },
    { type: 'NetworkUnavailable', status: 'False', reason: 'RipstopIsUp' },
  ]);
  t.equal(conditions.length, 2, 'merged by type');
  await store.recordEvent({ type: 'Warning', reason: 'MtuTooSmall', message: 'x' });
  t.match(api.events[0], { type: 'Normal', reason: 'RipstopReady', message: 'pod subnet n1' });
  t.match(api.events[2], {
    involvedObject: { kind: 'Node', name: 'n1', uid: 'uid-n1' },
    type: 'Warning',
    reason: 'MtuTooSmall',
    reportingComponent: 'ripstop',
  });
  t.same(
    await store.overrides(),
    {
      mac: '0a:00:00:00:00:01',
      mac6: '0a:00:00:00:00:06',
      publishedIp: '192.0.2.1',
      publishedIpv6: 'fd00::1',
      nodeUid: 'uid-n1',
    },
    'MAC and address survive a restart',
  );
});

t.test('overrides by an operator: two annotations with two meanings (A15)', async t => {
  const { api, open } = await cluster(t);
  api.addNode('n1', DUAL, {
    [`${P}/public-ip-overwrite`]: '203.0.113.5',
    [`${P}/node-public-ip`]: '198.51.100.1',
    [`${P}/node-public-ipv6`]: 'FD00:0::5',
    [`${P}/backend-data`]: 'null',
  });
  t.same(await open('n1').overrides(), {
    publicIp: '198.51.100.1',
    publicIpv6: 'fd00::5',
    overwriteIp: '203.0.113.5',
    nodeUid: 'uid-n1',
  });
  api.addNode('n2', DUAL, { [`${P}/public-ipv6-overwrite`]: '203.0.113.5' });
  await t.rejects(open('n2').overrides(), {
    code: 'ECONFIG',
    message:
      'Node n2: annotation flannel.alpha.coreos.com/public-ipv6-overwrite: "203.0.113.5" is not an IPv6 address',
  });
});

t.test('what stands against a lease', async t => {
  const { api, open } = await cluster(t);
  const wish = { config: CONFIG, attributes: leaseAttributes('192.0.2.1'), previous: undefined };
  await t.rejects(open('absent').acquire(wish), { code: 'ENOLEASE', message: 'Node absent does not exist' });
  api.addNode('none', {});
  await t.rejects(open('none').acquire(wish), {
    code: 'ENOLEASE',
    message: /no IPv4 podCIDR/,
    hint: /--allocate-node-cidrs/,
  });
  api.addNode('half', { podCIDR: '10.244.1.0/24' });
  await t.rejects(open('half').acquire(wish), { message: /no IPv6 podCIDR/ });
  api.addNode('outside', { podCIDR: '10.9.1.0/24' });
  await t.rejects(open('outside').acquire(wish), {
    code: 'ECONFIG',
    message: /10.9.1.0\/24 of Node outside is outside Network 10.244.0.0\/16/,
  });
  api.addNode('duplicate', { podCIDR: '10.244.8.0/24' }, flannel('192.0.2.1', '0a:00:00:00:00:08'));
  api.addNode('n1', DUAL);
  await t.rejects(open('n1').acquire(wish), {
    code: 'EINUSE',
    message: /node duplicate is alive under the same public address/,
  });
  api.deleteNode('duplicate');
  api.addNode('dead', { podCIDR: '10.244.9.0/24' }, flannel('192.0.2.1', '0a:00:00:00:00:08'), false);
  t.ok(await open('n1').acquire(wish), 'a Node that is not Ready does not count');
});

t.test(
  'followers: nodes that come, change in either family and go are reported, a heartbeat is not',
  async t => {
    const { api, open } = await cluster(t);
    for (let i = 0; i < 1203; i++) api.addNode(`m${i}`, { podCIDR: `10.244.${i % 256}.0/24` });
    api.addNode('f1', DUAL, flannel('192.0.2.9', '0a:00:00:00:00:01', '0a:00:00:00:00:02'));
    const seen = record(open('n1'));
    await seen.until('f1', () => seen.keys().includes('f1'));
    t.equal(api.requests.filter(line => line.includes('limit=500')).length, 3, 'a list of three pages');
    t.equal(seen.current.length, 1, 'only nodes with a lease');
    await seen.until('watch', () => api.openWatches === 1);

    api.annotate('f1', { [`${P}/backend-data`]: '{"VNI":1,"VtepMAC":"0a:00:00:00:00:11"}' });
    await seen.until('new v4 MAC, same v6 data', () => seen.macs().includes('0a:00:00:00:00:11'));
    api.annotate('f1', { [`${P}/backend-v6-data`]: '{"VNI":1,"VtepMAC":"0a:00:00:00:00:12"}' });
    await seen.until('new v6 MAC', () =>
      JSON.stringify(seen.current[0]!.attributes.backendV6Data).includes('0a:00:00:00:00:12'),
    );
    const count = seen.events.length;
    api.annotate('f1', { heartbeat: '1' });
    api.bookmark();
    api.annotate('f1', { [`${P}/backend-data`]: 'x' });
    await seen.until('malformed', () => seen.events.includes('malformed'));
    t.same(
      seen.events.slice(count, count + 1),
      ['malformed'],
      'neither the heartbeat nor the bookmark was news',
    );
    await seen.until('gone', () => seen.keys().length === 0);
    api.annotate('f1', flannel('192.0.2.9', '0a:00:00:00:00:01'));
    await seen.until('back', () => seen.keys().length === 1);
    api.deleteNode('f1');
    await seen.until('deleted', () => seen.keys().length === 0);
  },
);

t.test('a watch that is cut goes on from the bookmark; one that is too old lists again', async t => {
  const { api, open } = await cluster(t);
  api.addNode('f1', DUAL, flannel('192.0.2.9', '0a:00:00:00:00:01'));
  const seen = record(open('n1'));
  await seen.until('watch', () => seen.keys().length === 1 && api.openWatches === 1);
  const lists = () => api.requests.filter(line => line.includes('limit=')).length;
  t.equal(lists(), 1);

  api.annotate('f1', { heartbeat: '2' });
  await api.bookmark();
  api.compact();
  api.cutWatches(true);
  await seen.until('watch again', () => api.openWatches === 1);
  t.equal(lists(), 1, 'the bookmark spared a list');
  api.annotate('f1', { [`${P}/backend-data`]: '{"VNI":1,"VtepMAC":"0a:00:00:00:00:21"}' });
  await seen.until('event after the cut', () => seen.macs().includes('0a:00:00:00:00:21'));

  api.faults.push({ match: 'GET /api/v1/nodes?watch', status: 410, reason: 'Expired' });
  api.cutWatches();
  await seen.until('listed again', () => lists() === 2 && api.openWatches === 1);

  await api.down();
  await seen.until('down', () => seen.events.at(-1) === 'down');
  api.annotate('f1', { [`${P}/backend-data`]: '{"VNI":1,"VtepMAC":"0a:00:00:00:00:31"}' });
  api.addNode('f2', { podCIDR: '10.244.7.0/24' }, flannel('192.0.2.7', '0a:00:00:00:00:32'));
  api.compact();
  t.equal(seen.macs()[0], '0a:00:00:00:00:21', 'the last known state stays');
  await api.up();
  await seen.until(
    'what changed meanwhile',
    () => seen.macs().includes('0a:00:00:00:00:31') && seen.keys().includes('f2'),
  );
});

t.test('an object that cannot be read: named as long as the list has it', async t => {
  const { api, open } = await cluster(t);
  api.addNode('n1', DUAL);
  api.addNode('odd', { podCIDR: 5 as unknown as string });
  const store = open('n1');
  const seen = record(store);
  await seen.until('the first list', () => seen.events.includes('leases'));
  t.same([...store.unreadable.keys()], ['a Node']);
  const listAgain = async (): Promise<void> => {
    const lists = () => api.requests.filter(line => line.includes('limit=')).length;
    const before = lists();
    api.cutWatches();
    api.faults.push({ match: 'GET /api/v1/nodes?watch', status: 410, reason: 'Expired' });
    await seen.until('listed again', () => lists() > before && api.openWatches === 1);
  };
  await listAgain();
  t.same([...store.unreadable.keys()], ['a Node']);
  t.equal(seen.events.filter(event => event === 'malformed').length, 1, 'reported once');
  api.nodes.delete('odd');
  await listAgain();
  t.same([...store.unreadable.keys()], []);
});

t.test('node whose addresses changed: connects again and misses no change', async t => {
  const { api, open } = await cluster(t);
  api.addNode('n1', DUAL);
  const store = open('n1');
  const seen = record(store);
  await seen.until('watch', () => api.openWatches === 1);
  store.reconnect();
  api.addNode('f1', { podCIDR: '10.244.9.0/24' }, flannel('192.0.2.9', '0a:00:00:00:00:01'));
  await seen.until('what came meanwhile', () => seen.keys().includes('f1'));
  await seen.until('it up', () => seen.events.lastIndexOf('up') > seen.events.indexOf('down'));
  const wish = { config: CONFIG, attributes: leaseAttributes('192.0.2.1'), previous: undefined };
  t.equal((await store.acquire(wish)).key, 'n1', 'requests continue as well');
});

t.test('the wait before another try is the one that the server asks for, within bounds', async t => {
  t.equal(retryAfterSeconds(429, '7', 'GET'), 7);
  t.equal(retryAfterSeconds(429, undefined, 'GET'), 1);
  t.equal(retryAfterSeconds(429, 'Fri, 01 Jan 2027 00:00:00 GMT', 'GET'), 1, 'a date is not read');
  t.equal(retryAfterSeconds(503, '2', 'PATCH'), 2);
  t.equal(retryAfterSeconds(503, '86400', 'GET'), 30);
  t.equal(retryAfterSeconds(503, undefined, 'GET'), undefined, 'not asked to come again');
  t.equal(retryAfterSeconds(409, undefined, 'PATCH'), 0.05);
  t.equal(retryAfterSeconds(409, undefined, 'GET'), undefined);
  t.equal(retryAfterSeconds(403, '2', 'GET'), undefined);
});

t.test('429, 503 and 409 are tried again; 403 is told with what to do', async t => {
  const { api, open } = await cluster(t);
  api.addNode('n1', DUAL);
  const wish = { config: CONFIG, attributes: leaseAttributes('192.0.2.1'), previous: undefined };
  api.faults.push(
    { match: 'PATCH', status: 429, headers: { 'retry-after': '1' } },
    { match: 'PATCH', status: 409 },
    { match: 'GET /api/v1/nodes/n1', status: 503, headers: { 'retry-after': '1' } },
  );
  t.ok(await open('n1').acquire(wish));
  t.equal(api.faults.length, 0);
  api.faults.push({ match: 'GET /api/v1/nodes/n1', status: 403, reason: 'Forbidden' });
  await t.rejects(open('n1').acquire(wish), {
    code: 'EREFUSED',
    hint: /ClusterRole/,
    message: /GET \/api\/v1\/nodes\/n1: 403/,
  });
  api.faults.push({ match: 'POST', status: 403 });
  await open('n1').recordEvent({ type: 'Normal', reason: 'X', message: 'y' });
  t.pass('an event that is refused stops nothing');
});

t.test('an operator takes the annotations away', async t => {
  const { api, open } = await cluster(t);
  api.addNode('n1', DUAL);
  const store = open('n1');
  const lease = await store.acquire({
    config: CONFIG,
    attributes: leaseAttributes('192.0.2.1'),
    previous: undefined,
  });
  t.equal(await store.renew(lease), lease);
  api.annotate('n1', { [`${P}/kube-subnet-manager`]: null });
  t.equal(await store.renew(lease), undefined);
});

t.test(
  'annotations of a family that is switched off are removed, so that the lease is as it is wanted',
  async t => {
    const { api, open } = await cluster(t);
    const stale = { ...flannel('192.0.2.1', '0a:00:00:00:00:01', '0a:00:00:00:00:02'), other: 'stays' };
    api.addNode('n1', { podCIDR: '10.244.3.0/24' }, stale);
    const config = parseNetConf('{"Network":"10.244.0.0/16","Backend":{"Type":"vxlan"}}', 'x', {
      ranges: false,
    });
    const store = open('n1');
    const seen = record(store);
    const wish = { config, attributes: leaseAttributes('192.0.2.1'), previous: undefined };
    const lease = await store.acquire(wish);
    await seen.until('the change', () => seen.current[0]?.attributes.publicIpv6 === undefined);
    t.same(seen.current[0]!.attributes, lease.attributes);
    t.same(api.nodes.get('n1')!.metadata.annotations, {
      ...flannel('192.0.2.1', '0a:00:00:00:00:01'),
      other: 'stays',
    });
  },
);

t.test('the mounted configuration changes', async t => {
  const { open, configPath } = await cluster(t);
  const store = open('n1');
  await store.networkConfig();
  const seen = record(store);
  writeFileSync(configPath, TEXT.replace('vxlan', 'host-gw'));
  await seen.until('config', () => seen.configs.length === 1);
  t.match(seen.configs[0], /host-gw/);
});

t.test('the mounted configuration, deleted and there again, is reported each time', async t => {
  const { open, configPath } = await cluster(t);
  const store = open('n1');
  await store.networkConfig();
  const seen = record(store);
  rmSync(configPath);
  await seen.until('its deletion', () => seen.configs.length === 1);
  writeFileSync(configPath, TEXT);
  await seen.until('the same text', () => seen.configs.length === 2);
  t.same(seen.configs, [undefined, TEXT], 'once each');
});

t.test('prefix rule of the annotations', async t => {
  t.equal(annotationNames('flannel.alpha.coreos.com').publicIp, 'flannel.alpha.coreos.com/public-ip');
  t.equal(annotationNames('x.io/net').publicIp, 'x.io/net-public-ip');
  t.equal(annotationNames('x.io/').publicIp, 'x.io/public-ip');
  t.equal(annotationNames('x.io/net-').publicIp, 'x.io/net-public-ip');
  t.throws(() => annotationNames('a/b/c'), { code: 'ECONFIG' });
});
