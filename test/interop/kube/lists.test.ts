import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import t, { type Test } from 'tap';
import { KubeHttp, TIME_LIMITS } from '../../../src/agent/store/kube/http.ts';
import { Informer, type InformerEvents } from '../../../src/agent/store/kube/informer.ts';
import { NODE_FIELDS } from '../../../src/agent/store/kube/node.ts';
import { Backoff } from '../../../src/base/backoff.ts';
import { anyValue, listOf, required } from '../../../src/base/schema.ts';
import { until } from '../../../src/lab/until.ts';
import { KubeApi } from '../../fixtures/kube/kube-api.ts';

const NODES = '/api/v1/nodes';
const FIRST_PAGE = `GET ${NODES}?limit=500`;
const CONTINUE = `${FIRST_PAGE}&continue`;
const WATCH = `GET ${NODES}?watch=1`;
const LIST = { items: required(listOf(anyValue('a Node'), 'Nodes')) };

async function server(t: Test, nodes = 1) {
  const api = await KubeApi.start();
  t.teardown(() => api.down());
  for (let n = 0; n < nodes; n++) api.addNode(`n${n}`, { podCIDR: '10.244.1.0/24' });
  return api;
}

function httpOf(t: Test, api: KubeApi, limits = TIME_LIMITS): KubeHttp {
  const http = new KubeHttp({ url: new URL(api.url) }, limits);
  t.teardown(() => http.close());
  return http;
}

/** An informer of the Nodes, and what it reports. */
function follow(t: Test, api: KubeApi, backoff?: Backoff) {
  const events: string[] = [];
  let size = 0;
  const observer: InformerEvents<object> = {
    read: object => object as object,
    replaced: items => {
      size = items.length;
      events.push('list');
    },
    changed: () => events.push('changed'),
    deleted: () => events.push('deleted'),
    up: () => events.push('up'),
    down: error => events.push(`down: ${error.message}`),
    expired: error => events.push(`expired: ${error.message}`),
  };
  const informer = new Informer(httpOf(t, api), NODES, observer, backoff);
  t.teardown(() => informer.close());
  return {
    informer,
    events,
    size: () => size,
    count: (event: string) => events.filter(e => e === event).length,
  };
}

const requests = (api: KubeApi, start: string) => api.requests.filter(line => line.startsWith(start));

t.test('the store answers when its watch is open, not before (A11)', async t => {
  const api = await server(t);
  for (let n = 0; n < 3; n++) api.faults.push({ match: WATCH, status: 500 });
  const { events, count } = follow(t, api);
  await until('the watch', () => api.openWatches === 1);
  await until('the report', () => events.includes('up'));
  t.match(events.join('\n'), /^list\ndown: .*500.*\nup$/);

  await api.down();
  await until('the loss', () => events.at(-1)!.startsWith('down'));
  const port = Number(new URL(api.url).port);
  let connections = 0;
  // Connections succeed, and nothing answers: a load balancer without servers.
  const balancer = createTcpServer(socket => {
    connections++;
    socket.destroy();
  });
  await new Promise<void>(resolve => balancer.listen(port, '127.0.0.1', resolve));
  await until('several attempts', () => connections >= 4);
  await new Promise(resolve => balancer.close(resolve));
  await api.up();
  await until('the store again', () => count('up') === 2);
  t.equal(events.filter(event => event.startsWith('down')).length, 2, 'one report for each loss');
  t.equal(events.at(-1), 'up');
});

t.test('a list may take longer than another request (K4)', async t => {
  t.ok(TIME_LIMITS.listMs > 60_000, 'more than the server takes at most');
  t.ok(TIME_LIMITS.callMs > 15_000, 'more than the server keeps a request in its queue');
  const api = await server(t);
  const http = httpOf(t, api, { connectMs: 60_000, callMs: 300, listMs: 120_000 });
  api.delays.set(`GET ${NODES}`, 3000);
  await t.rejects(http.get(`${NODES}/n0`, NODE_FIELDS), {
    code: 'ESTORE',
    message: /no answer within 0.3 s/,
  });
  t.equal((await http.list(NODES, LIST)).items.length, 1);
});

t.test('a connection has a limit of its own', async t => {
  const silent = createTcpServer();
  await new Promise<void>(resolve => silent.listen(0, '127.0.0.1', resolve));
  t.teardown(() => silent.close());
  const { port } = silent.address() as AddressInfo;
  // The TCP connection succeeds, and TLS does not.
  const http = new KubeHttp(
    { url: new URL(`https://127.0.0.1:${port}`) },
    { connectMs: 200, callMs: 600_000, listMs: 600_000 },
  );
  t.teardown(() => http.close());
  await t.rejects(http.list(NODES, LIST), { code: 'ESTORE', message: /no connection within 0.2 s/ });
});

t.test('lists are compressed (K11), unless the kubeconfig disables it', async t => {
  const api = await server(t, 3);
  t.equal((await httpOf(t, api).list(NODES, LIST)).items.length, 3);
  t.equal(api.compressedLists, 1);
  const plain = new KubeHttp({ url: new URL(api.url), compress: false });
  t.teardown(() => plain.close());
  t.equal((await plain.list(NODES, LIST)).items.length, 3);
  t.equal(api.compressedLists, 1);
});

t.test('connection that the server has ended while it was idle: the request is made again', async t => {
  const api = await server(t);
  const http = httpOf(t, api);
  for (let n = 0; n < 3; n++) {
    await http.get(`${NODES}/n0`, NODE_FIELDS);
    // As a server ends an idle connection at the moment at which it is used again.
    api.faults.push({ match: `GET ${NODES}/n0`, status: 0 });
    t.ok(await http.get(`${NODES}/n0`, NODE_FIELDS));
  }
  t.equal(api.faults.length, 0);
});

t.test('410 for every page after the first (K12): told, and then one list without pages', async t => {
  const api = await server(t, 501);
  for (let n = 0; n < 50; n++) api.faults.push({ match: CONTINUE, status: 410, reason: 'Expired' });
  const { events, size } = follow(t, api);
  await until('the list', () => events.includes('up'));
  t.equal(size(), 501);
  t.equal(requests(api, FIRST_PAGE).length, 4, 'two attempts of two pages');
  t.equal(requests(api, `GET ${NODES}`).filter(line => line === `GET ${NODES}`).length, 1);
  t.equal(events.filter(event => event.startsWith('expired: ')).length, 2);
});

t.test('410 for one page: the list is begun again, without what was read before', async t => {
  const api = await server(t, 501);
  api.faults.push({ match: CONTINUE, status: 410, reason: 'Expired' });
  const { events, size } = follow(t, api);
  await until('the list', () => events.includes('up'));
  t.equal(size(), 501);
  t.equal(requests(api, `GET ${NODES}`).filter(line => line === `GET ${NODES}`).length, 0);
});

t.test('version that is too old after an absence (K13): listed without a pause', async t => {
  const api = await server(t);
  /** Number of requests at each pause. */
  const pauses: number[] = [];
  class Recorded extends Backoff {
    override async wait(signal: AbortSignal): Promise<void> {
      pauses.push(api.requests.length);
      await super.wait(signal);
    }
  }
  const { events, count } = follow(t, api, new Recorded());
  await until('the watch', () => api.openWatches === 1);
  api.annotate('n0', { a: 'b' });
  await until('a change', () => events.includes('changed'));
  await api.down();
  await until('some attempts', () => pauses.length >= 3);
  api.addNode('n1', {});
  api.compact();
  const before = api.requests.length;
  await api.up();
  await until('the list', () => count('list') === 2);
  const seen = api.requests.slice(before).map(line => line.split('?')[1]!.slice(0, 5));
  t.same(seen.slice(0, 2), ['watch', 'limit']);
  t.notOk(pauses.includes(before + 1), 'no pause between the rejected watch and the list');
  t.equal(events.filter(event => event.startsWith('down')).length, 1);
});

t.test('watches end at random times (K13)', async t => {
  const api = await server(t);
  const { informer } = follow(t, api);
  const watches = () => requests(api, WATCH);
  for (let n = 1; n <= 8; n++) {
    await until(`watch ${n}`, () => watches().length >= n && api.openWatches === 1);
    api.annotate('n0', { count: `${n}` });
    api.cutWatches();
  }
  await informer.close();
  const seconds = watches().map(line =>
    Number(new URLSearchParams(line.split('?')[1]).get('timeoutSeconds')),
  );
  t.ok(
    seconds.every(time => time >= 300 && time <= 600),
    `${seconds}`,
  );
  t.ok(new Set(seconds).size > 1, 'not all the same');
});
