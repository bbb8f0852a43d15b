import { createServer, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { EtcdStore } from '../../../src/agent/store/etcd/store.ts';
import { EtcdServer } from '../../fixtures/agents/etcd-server.ts';
import { leaseAttributes, netConf, record } from '../../fixtures/agents/lease-store.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/** Waits of the tests, ms. */
const PATIENT = 120_000;
const ROOT = '/net';
const HEARTBEAT_MS = 200;
/** etcd hashes passwords with bcrypt, which takes long on a full machine. */
const SLOW = ['--dial-timeout=60s', '--command-timeout=60s'];

/** A server with a configuration, and stores on it that are closed at the end. */
async function cluster(t: Test, flags: readonly string[] = []) {
  const server = await EtcdServer.start('http', flags);
  t.teardown(() => server.stop());
  const { text, config } = netConf();
  await server.put(`${ROOT}/config`, text);
  const open = (nodeName: string, more: Partial<ConstructorParameters<typeof EtcdStore>[0]> = {}) => {
    const endpoints = [server.url];
    const store = new EtcdStore({ endpoints, prefix: ROOT, nodeName, heartbeatMs: HEARTBEAT_MS, ...more });
    t.teardown(() => store.close());
    return store;
  };
  const request = (n: number) => ({
    config,
    attributes: leaseAttributes(`192.0.2.${n}`, n),
    previous: undefined,
  });
  /** A user `NAME` with password `pod` and a role that may do `rights`. */
  const user = async (name: string, rights: readonly string[][]) => {
    await server.ctl('user', 'add', `${name}:pod`);
    await server.ctl('role', 'add', name);
    for (const words of rights) await server.ctl('role', 'grant-permission', name, 'readwrite', ...words);
    await server.ctl('user', 'grant-role', name, name);
  };
  const enableAuth = async () => {
    await server.ctl('user', 'add', 'root:secret');
    await server.ctl('user', 'grant-role', 'root', 'root');
    await server.ctl('auth', 'enable');
  };
  const asRoot = (...words: string[]) => server.ctl('--user', 'root:secret', ...SLOW, ...words);
  return { server, open, request, user, enableAuth, asRoot, text };
}

/** A port that accepts connections and never answers. */
async function deafPort(t: Test): Promise<number> {
  const sockets = new Set<Socket>();
  const deaf = createServer(socket => sockets.add(socket.on('error', () => {})));
  await new Promise<void>(resolve => deaf.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    deaf.close();
  });
  return (deaf.address() as { port: number }).port;
}

t.test('etcd with faults', { skip: skipUnless('etcd', 'etcdctl') }, async t => {
  t.test(
    'authentication is enabled while a node runs without credentials (A13): named, reads go on',
    async t => {
      const { server, open, request, enableAuth, asRoot } = await cluster(t);
      const store = open('a');
      await store.acquire(request(1));
      const seen = record(store);
      await seen.until('up', () => seen.events.includes('up'), PATIENT);
      t.equal(store.failing.size, 0);
      await enableAuth();
      await seen.until('both writes', () => store.failing.size === 2, PATIENT);
      t.match(store.failing.get('heartbeat'), /user name is empty; check --etcd-username/);
      t.match(store.failing.get('lease of this node'), /user name is empty/);
      const told = seen.troubles.length;
      await asRoot(
        'put',
        `${ROOT}/subnets/10.7.99.0-24`,
        '--',
        '{"PublicIP":"192.0.2.99","PublicIPv6":null}',
      );
      await seen.until('a lease', () => seen.keys().includes('10.7.99.0-24'), PATIENT);
      t.equal(seen.troubles.length, told, 'each fault is told once');
      await asRoot('auth', 'disable');
      await seen.until('the recovery', () => store.failing.size === 0, PATIENT);
      t.ok(
        await server.ctl('get', '--print-value-only', `${ROOT}/ripstop/nodes/192.0.2.1`),
        'the heartbeat is back',
      );
    },
  );

  t.test(
    'a role that loses its right to write (A13): named; the presence is written again afterwards',
    async t => {
      const { open, request, user, enableAuth, asRoot } = await cluster(t);
      await user('node', [['--prefix', `${ROOT}/`]]);
      await enableAuth();
      const store = open('a', { username: 'node', password: 'pod' });
      await store.acquire(request(1));
      const seen = record(store);
      await seen.until('up', () => seen.events.includes('up'), PATIENT);
      await asRoot('role', 'revoke-permission', 'node', '--prefix', `${ROOT}/`);
      await asRoot('role', 'grant-permission', 'node', 'read', '--prefix', `${ROOT}/`);
      await seen.until('the failure', () => store.failing.has('lease of this node'), PATIENT);
      t.match(store.failing.get('lease of this node'), /permission denied/);
      await asRoot('role', 'grant-permission', 'node', 'readwrite', '--prefix', `${ROOT}/`);
      await seen.until('the recovery', () => store.failing.size === 0, PATIENT);
      t.same(store.lacking, []);
    },
  );

  t.test('no space left (A13): named', async t => {
    const { server, open, request } = await cluster(t, ['--quota-backend-bytes', String(1 << 20)]);
    const store = open('a');
    await store.acquire(request(1));
    const seen = record(store);
    await seen.until('up', () => seen.events.includes('up'), PATIENT);
    const large = 'x'.repeat(100_000);
    for (let n = 0; n < 40; n++)
      if ((await server.put(`/other/${n}`, large).catch(() => 'full')) === 'full') break;
    await seen.until('the failure', () => store.failing.has('lease of this node'), PATIENT);
    t.match(store.failing.get('lease of this node'), /database space exceeded; compact and defragment etcd/);
  });

  t.test(
    "flanneld's role (J9): the node works without heartbeats, which is named, and takes up the right",
    async t => {
      const { open, request, user, enableAuth, asRoot, text } = await cluster(t);
      await user('flannel', [[`${ROOT}/config`], ['--prefix', `${ROOT}/subnets`]]);
      await enableAuth();
      const credentials = { username: 'flannel', password: 'pod' };
      const store = open('a', credentials);
      t.equal((await store.networkConfig()).text, text);
      const lease = await store.acquire(request(1));
      const seen = record(store);
      await seen.until('own lease', () => seen.keys().includes(lease.key), PATIENT);
      t.match(store.lacking, [
        /may not read and write \/net\/ripstop\/nodes\/: this node works without heartbeats/,
      ]);
      t.equal(store.failing.size, 0, 'nothing that the node needs fails');
      const other = await open('b', credentials).acquire(request(2));
      await seen.until('a lease of another node', () => seen.keys().includes(other.key), PATIENT);
      t.equal((await store.renew(lease))?.key, lease.key);
      t.notOk(seen.events.includes('down'));
      await asRoot('role', 'grant-permission', 'flannel', 'readwrite', '--prefix', `${ROOT}/ripstop/nodes/`);
      await seen.until(
        'heartbeats',
        () => store.lacking.length === 0 && seen.current.every(({ node }) => node !== undefined),
        PATIENT,
      );
      t.notOk(seen.events.includes('down'), 'the store was reachable all the time');
    },
  );

  t.test(
    'more than 4 MiB below the prefix (H15), malformed leases (H6): a node starts, and names them',
    async t => {
      const { server, open, request } = await cluster(t, ['--max-request-bytes', String(4 << 20)]);
      // etcdctl takes a value as argument, of which one has at most 128 KiB: many keys instead.
      const large = 'x'.repeat(120_000);
      for (let n = 0; n < 60; n++) await server.put(`${ROOT}/subnets/10.7.${n + 100}.0-24`, large);
      const store = open('a');
      const { key } = await store.acquire(request(1));
      const seen = record(store);
      await seen.until('own lease', () => seen.keys().includes(key), PATIENT);
      t.equal(store.unreadable.size, 60);
      for (const text of store.unreadable.values()) t.match(text, /^.{1,200}has 120000 characters, at most/);
      await server.put(`${ROOT}/subnets/10.7.100.0-24`, 'y'.repeat(120_000));
      await server.put(`${ROOT}/subnets/10.7.101.0-24`, '{"PublicIP":"192.0.2.9","PublicIPv6":null}');
      await seen.until('the corrected lease', () => seen.keys().includes('10.7.101.0-24'), PATIENT);
      t.equal(store.unreadable.size, 59);
    },
  );

  t.test('a reboot (A19): the node waits while its former heartbeat is fresh; a clone keeps it', async t => {
    const { server, open, request } = await cluster(t);
    const heartbeat = `${ROOT}/ripstop/nodes/192.0.2.1`;
    /** The heartbeat of a node before a reboot, `seconds` after its last beat. */
    const former = async (seconds: number) => {
      const granted = await server.ctl('lease', 'grant', '30');
      const id = /lease (\w+) granted/.exec(granted)![1]!;
      await server.ctl('put', '--lease', id, heartbeat, '--', 'a/another boot');
      await new Promise(resolve => setTimeout(resolve, seconds * 1000));
      return id;
    };
    await former(0);
    const told: string[] = [];
    const lease = await open('a').acquire({ ...request(1), waiting: why => told.push(why) });
    t.ok(lease.key);
    t.match(told, [/^node a was alive \d s ago under another boot of the kernel: .* in 1\d s unless/]);
    t.notMatch(await server.ctl('get', '--print-value-only', heartbeat), /another boot/);

    const second = await cluster(t);
    const granted = await second.server.ctl('lease', 'grant', '30');
    const id = /lease (\w+) granted/.exec(granted)![1]!;
    await second.server.ctl('put', '--lease', id, heartbeat, '--', 'a/another boot');
    const clone = setInterval(() => void second.server.ctl('lease', 'keep-alive', '--once', id), 4000);
    t.teardown(() => clearInterval(clone));
    await t.rejects(second.open('a').acquire(second.request(1)), { code: 'EINUSE' });
    await t.rejects(second.open('b').acquire(second.request(1)), { code: 'EINUSE' }, 'another name');
  });

  t.test(
    'the key is moved to a shorter lease, and deleted (J13, item 2): the node takes a whole one again',
    async t => {
      const { server, open, request } = await cluster(t);
      const store = open('a');
      const lease = await store.acquire(request(1));
      const seen = record(store);
      await seen.until('own lease', () => seen.keys().includes(lease.key), PATIENT);
      t.equal(seen.current[0]?.term, lease.term);
      const path = `${ROOT}/subnets/${lease.key}`;
      const value = await server.ctl('get', '--print-value-only', path);
      const id = /lease (\w+) granted/.exec(await server.ctl('lease', 'grant', '60'))![1]!;
      await server.ctl('put', '--lease', id, path, '--', value);
      await seen.until('another end', () => seen.current[0]?.term !== lease.term, PATIENT);
      const again = await store.acquire(request(1));
      t.equal(again.key, lease.key);
      t.ok(again.expiresAt! > Date.now() + 80_000_000, 'a day again');
      await seen.until('its end', () => seen.current[0]?.term === again.term, PATIENT);
      const heartbeat = `${ROOT}/ripstop/nodes/192.0.2.1`;
      await server.ctl('del', heartbeat);
      const isBack = async () => (await server.ctl('get', '--print-value-only', heartbeat)) !== '';
      for (let tries = 0; tries < 100 && !(await isBack()); tries++)
        await new Promise(resolve => setTimeout(resolve, 100));
      t.ok(await isBack());
    },
  );

  t.test('the configuration is deleted and comes back (J11 e): told once each', async t => {
    const { server, open, request, text } = await cluster(t);
    const store = open('a');
    await store.networkConfig();
    await store.acquire(request(1));
    const seen = record(store);
    await seen.until('up', () => seen.events.includes('up'), PATIENT);
    await server.ctl('del', `${ROOT}/config`);
    await seen.until('its end', () => seen.configs.length === 1, PATIENT);
    await server.put(`${ROOT}/config`, text);
    await seen.until('its return', () => seen.configs.length === 2, PATIENT);
    t.same(seen.configs, [undefined, text]);
  });

  t.test('an endpoint that never answers, first in the list (J13): the next one is used', async t => {
    const { server, open } = await cluster(t);
    const port = await deafPort(t);
    // No host answers in TEST-NET-1: a connection would be given up after minutes.
    const endpoints = ['http://192.0.2.200:2379', `http://127.0.0.1:${port}`, server.url];
    const store = open('a', { endpoints, deadlineMs: PATIENT });
    t.ok(await store.networkConfig(), 'long before the deadline of a call');
  });

  t.test('errors (A26): in words of etcd, without those of the gRPC library', async t => {
    const { open } = await cluster(t);
    const errorOf = async (more: Parameters<typeof open>[1]) =>
      open('x', more)
        .networkConfig()
        .then(
          () => '',
          (error: Error) => error.message,
        );
    t.equal(
      await errorOf({ endpoints: ['http://127.0.0.1:1'] }),
      'etcd: http://127.0.0.1:1: connect ECONNREFUSED 127.0.0.1:1',
    );
    const port = await deafPort(t);
    const url = `http://127.0.0.1:${port}`;
    t.equal(await errorOf({ endpoints: [url], deadlineMs: 1000 }), `etcd: ${url} does not answer within 1 s`);
  });
});
