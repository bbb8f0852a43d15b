import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import t, { type Test } from 'tap';
import { until } from '../../../bench/lab/until.ts';
import { parseNetConf } from '../../../src/agent/config/net-conf.ts';
import { findAccess } from '../../../src/agent/store/kube/access.ts';
import { retryAfterSeconds } from '../../../src/agent/store/kube/http.ts';
import { annotationNames } from '../../../src/agent/store/kube/node.ts';
import { KubeStore } from '../../../src/agent/store/kube/store.ts';
import { formatPrefix } from '../../../src/ip/prefix.ts';
import { leaseAttributes, record } from '../../fixtures/agents/lease-store.ts';
import { KubeApi } from '../../fixtures/kube/kube-api.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

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

t.test('overrides by an operator', async t => {
  const { api, open } = await cluster(t);
  api.addNode('n1', DUAL, {
    [`${P}/public-ip-overwrite`]: '203.0.113.5',
    [`${P}/node-public-ip`]: '198.51.100.1',
    [`${P}/node-public-ipv6`]: 'fd00::5',
    [`${P}/backend-data`]: 'null',
  });
  t.same(await open('n1').overrides(), {
    publicIp: '203.0.113.5',
    publicIpv6: 'fd00::5',
    nodeUid: 'uid-n1',
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

t.test('the mounted configuration changes', async t => {
  const { open, configPath } = await cluster(t);
  const store = open('n1');
  await store.networkConfig();
  const seen = record(store);
  writeFileSync(configPath, TEXT.replace('vxlan', 'host-gw'));
  await seen.until('config', () => seen.configs.length === 1);
  t.match(seen.configs[0], /host-gw/);
});

t.test('access: token file, kubeconfig, in-cluster, refusals', async t => {
  const { api, open } = await cluster(t);
  const directory = mkdtempSync(join(tmpdir(), 'rs-access-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const tokenFile = join(directory, 'token');
  writeFileSync(tokenFile, 'first\n');
  api.token = 'first';
  api.addNode('n1', DUAL);
  const config = join(directory, 'kubeconfig');
  const write = (user: object) =>
    writeFileSync(
      config,
      JSON.stringify({
        'current-context': 'c',
        contexts: [{ name: 'c', context: { cluster: 'k', user: 'u' } }],
        clusters: [{ name: 'k', cluster: { server: api.url } }],
        users: [{ name: 'u', user }],
      }),
    );
  write({ tokenFile: 'token' });
  const store = open('n1', findAccess('', config));
  t.ok(await store.overrides());
  api.token = 'second';
  await t.rejects(store.overrides(), { message: /401/ });
  writeFileSync(tokenFile, 'second');
  t.ok(await store.overrides(), 'a rotated token is read again');
  write({ exec: {} });
  t.throws(() => findAccess('', config), { code: 'ECONFIG', message: /exec are not supported/ });
  t.throws(() => findAccess('', '', {}), { code: 'ECONFIG', hint: /--kubeconfig-file/ });
  t.throws(() => findAccess('nonsense', ''), { code: 'ECONFIG' });
  writeFileSync(join(directory, 'ca.crt'), 'PEM');
  const inside = findAccess(
    '',
    '',
    { KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '6443' },
    directory,
  );
  t.equal(inside.url.href, 'https://[fd00::1]:6443/');
  t.equal(inside.token!(), 'second');
  t.equal(await KubeStore.nodeName(inside, { NODE_NAME: 'x' }), 'x');
  await t.rejects(KubeStore.nodeName(inside, {}), { code: 'ECONFIG', hint: /NODE_NAME/ });
});

t.test('TLS: the cluster’s CA, a client certificate', { skip: skipUnless('openssl') }, async t => {
  const directory = mkdtempSync(join(tmpdir(), 'rs-kube-tls-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const at = (name: string) => join(directory, name);
  const openssl = (...words: string[]) => execFileSync('openssl', words, { stdio: 'ignore' });
  const key = ['-days', '1', '-nodes', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'];
  openssl('req', '-x509', ...key, '-subj', '/CN=ca', '-keyout', at('ca.key'), '-out', at('ca.crt'));
  for (const name of ['server', 'client']) {
    openssl(
      'req',
      ...key.slice(2),
      '-subj',
      `/CN=${name}`,
      '-keyout',
      at(`${name}.key`),
      '-out',
      at(`${name}.csr`),
    );
    writeFileSync(at(`${name}.ext`), 'subjectAltName=IP:127.0.0.1\n');
    const signing = [
      '-CA',
      at('ca.crt'),
      '-CAkey',
      at('ca.key'),
      '-CAcreateserial',
      '-extfile',
      at(`${name}.ext`),
    ];
    openssl('x509', '-req', '-days', '1', '-in', at(`${name}.csr`), ...signing, '-out', at(`${name}.crt`));
  }
  const pem = (name: string) => readFileSync(at(name));
  const server = createServer(
    {
      key: pem('server.key'),
      cert: pem('server.crt'),
      ca: pem('ca.crt'),
      requestCert: true,
      rejectUnauthorized: false,
    },
    (request, response) => {
      const { CN } = (request.socket as TLSSocket).getPeerCertificate().subject ?? {};
      response.end(
        JSON.stringify({
          metadata: {
            name: 'n1',
            annotations: { 'flannel.alpha.coreos.com/node-public-ip': CN === 'client' ? '192.0.2.7' : '' },
          },
        }),
      );
    },
  );
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const config = at('kubeconfig');
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const write = (cluster: object, user: object) =>
    writeFileSync(
      config,
      JSON.stringify({
        'current-context': 'c',
        contexts: [{ name: 'c', context: { cluster: 'k', user: 'u' } }],
        clusters: [{ name: 'k', cluster: { server: url, ...cluster } }],
        users: [{ name: 'u', user }],
      }),
    );
  const ask = async () => {
    const store = new KubeStore({
      access: findAccess('', config),
      nodeName: 'n1',
      annotationPrefix: P,
      configPath: '',
      setCondition: false,
    });
    try {
      return await store.overrides();
    } finally {
      await store.close();
    }
  };
  write(
    { 'certificate-authority-data': pem('ca.crt').toString('base64') },
    { 'client-certificate': 'client.crt', 'client-key': 'client.key' },
  );
  t.same(await ask(), { publicIp: '192.0.2.7' }, 'files in the folder of the kubeconfig, data inside it');
  write({}, {});
  await t.rejects(ask(), { code: 'ESTORE', message: /certificate/ }, 'an unknown CA is refused');
  write({ 'insecure-skip-tls-verify': true }, {});
  t.same(await ask(), {}, 'unless told otherwise');
});

t.test('prefix rule of the annotations', async t => {
  t.equal(annotationNames('flannel.alpha.coreos.com').publicIp, 'flannel.alpha.coreos.com/public-ip');
  t.equal(annotationNames('x.io/net').publicIp, 'x.io/net-public-ip');
  t.equal(annotationNames('x.io/').publicIp, 'x.io/public-ip');
  t.equal(annotationNames('x.io/net-').publicIp, 'x.io/net-public-ip');
  t.throws(() => annotationNames('a/b/c'), { code: 'ECONFIG' });
});
