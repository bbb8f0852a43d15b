import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { subnetsOverlap } from '../../../src/agent/lease/allocate.ts';
import { formatAttributes } from '../../../src/agent/lease/lease.ts';
import { EtcdStore } from '../../../src/agent/store/etcd/store.ts';
import { parsePrefix } from '../../../src/ip/prefix.ts';
import { EtcdServer } from '../../fixtures/agents/etcd-server.ts';
import { leaseAttributes, netConf, record } from '../../fixtures/agents/lease-store.ts';
import { FLANNEL_KEY } from '../../vectors/flannel-leases.ts';

const ROOT = '/coreos.com/network';

t.test('against Debian’s etcd', async t => {
  const server = await EtcdServer.start();
  t.teardown(() => server.stop());
  let prefixes = 0;

  /** A prefix of its own with a configuration, and stores on it that are closed at the end. */
  async function network(t: Test, extra: Record<string, unknown> = {}) {
    const prefix = `${ROOT}${++prefixes}`;
    const { text, config } = netConf(extra);
    await server.put(`${prefix}/config`, text);
    const stores: EtcdStore[] = [];
    t.teardown(() => Promise.all(stores.map(store => store.close())));
    const open = (nodeName: string, more: { ttlSeconds?: number; endpoints?: string[] } = {}) => {
      const store = new EtcdStore({ endpoints: [server.url], prefix, nodeName, ...more });
      stores.push(store);
      return store;
    };
    return { prefix, config, open, text };
  }
  const keysOf = async (prefix: string) =>
    (await server.ctl('get', '--prefix', '--keys-only', `${prefix}/subnets/`)).split('\n').filter(Boolean);

  t.test('the lease that is written is flannel’s, byte for byte, under a lease of a day', async t => {
    const { prefix, config, open, text } = await network(t);
    const store = open('a');
    t.same(await store.networkConfig(), { text, source: `etcd ${prefix}/config` });
    const previous = { v4: parsePrefix('10.7.44.0/24'), v6: undefined };
    const asked = Date.now();
    const lease = await store.acquire({ config, attributes: leaseAttributes('192.0.2.1'), previous });
    t.equal(lease.key, '10.7.44.0-24');
    t.equal(
      await server.ctl('get', '--print-value-only', `${prefix}/subnets/10.7.44.0-24`),
      '{"PublicIP":"192.0.2.1","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"0a:00:00:00:00:01"}}',
    );
    t.ok(lease.expiresAt! >= asked + 86_400_000 - 1000);
    const raw = JSON.parse(await server.ctl('get', '-w', 'json', `${prefix}/subnets/10.7.44.0-24`));
    t.ok(raw.kvs[0].lease);
    const renewed = await store.renew(lease);
    const after = JSON.parse(await server.ctl('get', '-w', 'json', `${prefix}/subnets/10.7.44.0-24`));
    t.equal(renewed!.key, lease.key);
    t.equal(
      after.kvs[0].mod_revision,
      raw.kvs[0].mod_revision,
      'a renewal prolongs the etcd lease and writes nothing',
    );
  });

  t.test('twelve nodes at once on fifteen subnets, dual stack: all different in both halves', async t => {
    const { prefix, config, open } = await network(t, {
      Network: '10.7.0.0/20',
      EnableIPv6: true,
      IPv6Network: 'fc00:7::/60',
    });
    const leases = await Promise.all(
      Array.from({ length: 12 }, (_, i) =>
        open(`n${i}`).acquire({
          config,
          attributes: leaseAttributes(`192.0.2.${i + 1}`),
          previous: undefined,
        }),
      ),
    );
    t.notOk(leases.some((a, i) => leases.some((b, j) => i < j && subnetsOverlap(a, b))));
    t.equal((await keysOf(prefix)).length, 12, 'losers of a race left nothing behind');
  });

  t.test('a node that comes back finds its lease by identity; a reservation stays one', async t => {
    const { prefix, config, open } = await network(t);
    await server.put(`${prefix}/subnets/10.7.99.0-24`, '{"PublicIP":"192.0.2.9"}');
    const store = open('a');
    const wish = { config, attributes: leaseAttributes('192.0.2.9'), previous: undefined };
    const lease = await store.acquire(wish);
    t.equal(lease.key, '10.7.99.0-24');
    t.equal(lease.expiresAt, 0);
    await store.renew(lease);
    await store.acquire({ ...wish, attributes: leaseAttributes('192.0.2.9', 5) });
    const raw = JSON.parse(await server.ctl('get', '-w', 'json', `${prefix}/subnets/10.7.99.0-24`));
    t.equal(raw.kvs[0].lease ?? 0, 0, 'no etcd lease was put on it');
    t.match(Buffer.from(raw.kvs[0].value, 'base64').toString(), /0a:00:00:00:00:05/);
  });

  t.test('dual stack: keys are flannel’s, and a key that names no subnet is reported', async t => {
    const { prefix, config, open } = await network(t, { EnableIPv6: true, IPv6Network: 'fc00:7::/48' });
    const value = formatAttributes(leaseAttributes('192.0.2.1'));
    await server.put(`${prefix}/subnets/10.7.44.0-24&fc00:7:0:5::-64`, value);
    await server.put(
      `${prefix}/subnets/10.7.45.0-24&fc00:7:0:6::-64`,
      value.replace('192.0.2.1', '192.0.2.3'),
    );
    const store = open('a');
    const seen = record(store);
    const wish = { config, attributes: leaseAttributes('192.0.2.1'), previous: undefined };
    const lease = await store.acquire(wish);
    t.equal(lease.key, '10.7.44.0-24&fc00:7:0:5::-64');
    t.same(await keysOf(prefix), [
      `${prefix}/subnets/10.7.44.0-24&fc00:7:0:5::-64`,
      `${prefix}/subnets/10.7.45.0-24&fc00:7:0:6::-64`,
    ]);
    await seen.until('both leases', () => seen.keys().includes(lease.key) && seen.current.length === 2);
    t.same(store.unreadable, new Map());
    const other = await open('b').acquire({
      config,
      attributes: leaseAttributes('192.0.2.2'),
      previous: lease,
    });
    t.match(other.key, FLANNEL_KEY);
    t.notOk(subnetsOverlap(other, lease));
    await server.put(`${prefix}/subnets/10.7.44.0-24&fc00-zz---64`, value);
    await seen.until('a key that names no subnet', () => seen.events.includes('malformed'));
    t.same([...store.unreadable.keys()], ['10.7.44.0-24&fc00-zz---64']);
  });

  t.test('a lease that no longer fits the configuration is given up for another', async t => {
    const { prefix, config, open } = await network(t);
    const wish = { config, attributes: leaseAttributes('192.0.2.1'), previous: undefined };
    await open('a').acquire(wish);
    const narrower = netConf({ SubnetLen: 26 }).config;
    const lease = await open('a').acquire({ ...wish, config: narrower });
    t.match(lease.key, /-26$/);
    t.same(await keysOf(prefix), [`${prefix}/subnets/${lease.key}`]);
  });

  t.test('a second live node with our public address is refused, and told when it comes later', async t => {
    const { prefix, config, open } = await network(t);
    const wish = { config, attributes: leaseAttributes('10.0.2.15'), previous: undefined };
    const first = open('a');
    const lease = await first.acquire(wish);
    const second = open('b');
    await t.rejects(second.acquire(wish), { code: 'EINUSE', message: /node a is alive/ });
    await first.close();
    const heir = await second.acquire(wish);
    t.equal(heir.key, lease.key, 'once it is gone its lease is taken over');
    t.match(await server.ctl('get', '--print-value-only', `${prefix}/ripstop/nodes/10.0.2.15`), /^b\//);
  });

  t.test('followers: coming, changing in either family, going, configuration, rubbish', async t => {
    const { prefix, config, open } = await network(t);
    const store = open('a');
    await store.networkConfig();
    const seen = record(store);
    await seen.until('up', () => seen.events.includes('up'));
    const b = open('b');
    const lease = await b.acquire({ config, attributes: leaseAttributes('192.0.2.2'), previous: undefined });
    await seen.until('b', () => seen.keys().includes(lease.key));
    await b.acquire({ config, attributes: leaseAttributes('192.0.2.2', 77), previous: undefined });
    await seen.until('new MAC', () => seen.macs().includes('0a:00:00:00:00:4d'));
    await server.put(
      `${prefix}/subnets/10.7.9.0-24`,
      '{"PublicIP":"192.0.2.3","BackendType":"vxlan","BackendData":{"VtepMAC":"0a:00:00:00:00:09"}}',
    );
    await seen.until('flannel’s', () => seen.keys().includes('10.7.9.0-24'));
    const count = seen.events.length;
    await server.put(
      `${prefix}/subnets/10.7.9.0-24`,
      '{"PublicIP":"192.0.2.3","BackendType":"vxlan","BackendData":{"VtepMAC":"0a:00:00:00:00:09"}}',
    );
    await server.put(`${prefix}/subnets/10.7.10.0-24`, 'rubbish');
    await seen.until('rubbish', () => seen.events.includes('malformed'));
    t.same(seen.events.slice(count), ['malformed'], 'an unchanged value is not reported');
    await server.ctl('del', `${prefix}/subnets/${lease.key}`);
    await seen.until('gone', () => !seen.keys().includes(lease.key));
    t.equal(await b.renew(lease), undefined, 'the holder learns that an operator deleted it');
    const again = await b.acquire({ config, attributes: leaseAttributes('192.0.2.2', 77), previous: lease });
    t.equal(again.key, lease.key, 'and takes the same subnet again');
    await server.put(`${prefix}/config`, netConf({ SubnetLen: 25 }).text);
    await seen.until('config', () => seen.configs.length === 1);
  });

  t.test('server down and up, history compacted meanwhile: what changed in the gap is noticed', async t => {
    const { prefix, config, open } = await network(t);
    const b = open('b');
    await b.acquire({
      config,
      attributes: leaseAttributes('192.0.2.2', 1),
      previous: { v4: parsePrefix('10.7.2.0/24'), v6: undefined },
    });
    const store = open('a');
    const seen = record(store);
    await seen.until('b', () => seen.macs().includes('0a:00:00:00:00:01'));
    await server.down();
    await seen.until('down', () => seen.events.includes('down'));
    await t.rejects(b.renew((await seen.current)[0]!), { code: 'ESTORE', hint: /--etcd-endpoints/ });
    t.same(seen.keys(), ['10.7.2.0-24'], 'the last known state stays');
    await server.up();
    await server.put(
      `${prefix}/subnets/10.7.2.0-24`,
      '{"PublicIP":"192.0.2.2","BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"0a:00:00:00:00:22"}}',
    );
    const { header } = JSON.parse(await server.ctl('get', '-w', 'json', `${prefix}/config`));
    await server.ctl('compact', String(header.revision));
    await seen.until('new MAC after the gap', () => seen.macs().includes('0a:00:00:00:00:22'));
    t.equal(seen.events.filter(event => event === 'down').length, 1, 'told once');
  });

  t.test('one of two servers away', async t => {
    const { open } = await network(t);
    t.ok(await open('a', { endpoints: ['http://127.0.0.1:1', server.url] }).networkConfig());
  });

  t.test('a lease ends by itself', async t => {
    const { config, open } = await network(t);
    const store = open('a');
    const seen = record(store);
    await open('b', { ttlSeconds: 2 }).acquire({
      config,
      attributes: leaseAttributes('192.0.2.2'),
      previous: undefined,
    });
    await seen.until('there', () => seen.keys().length === 1);
    await seen.until('ended', () => seen.keys().length === 0);
  });

  t.test('nothing there', async t => {
    const store = new EtcdStore({ endpoints: [server.url], prefix: '/none/', nodeName: 'a' });
    t.teardown(() => store.close());
    await t.rejects(store.networkConfig(), {
      code: 'ECONFIG',
      message: '/none/config does not exist in etcd',
    });
    t.throws(() => new EtcdStore({ endpoints: ['ftp://x'], prefix: '/', nodeName: 'a' }), {
      code: 'ECONFIG',
    });
    t.throws(() => new EtcdStore({ endpoints: ['http://me:secret@x'], prefix: '/', nodeName: 'a' }), {
      code: 'ECONFIG',
      message: /^(?!.*secret).*http:\/\/x\/ is given with a user/,
      hint: /--etcd-username/,
    });
  });
});

t.test('TLS with client certificates, user and password', async t => {
  const warnings: string[] = [];
  const warned = ({ message }: Error) => void warnings.push(message);
  process.on('warning', warned);
  t.teardown(() => process.off('warning', warned));
  const directory = mkdtempSync(join(tmpdir(), 'rs-tls-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const at = (name: string) => join(directory, name);
  const openssl = (...words: string[]) => execFileSync('openssl', words, { stdio: 'ignore' });
  const ca = ['-days', '1', '-nodes', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'];
  openssl('req', '-x509', ...ca, '-subj', '/CN=test-ca', '-keyout', at('ca.key'), '-out', at('ca.pem'));
  // The server's certificate lacks clientAuth on purpose: etcd's own HTTP gateway cannot start with it, gRPC does.
  for (const [name, usage] of [
    ['server', 'serverAuth'],
    ['client', 'clientAuth'],
  ] as const) {
    openssl(
      'req',
      ...ca.slice(2),
      '-subj',
      `/CN=${name}`,
      '-keyout',
      at(`${name}.key`),
      '-out',
      at(`${name}.csr`),
    );
    writeFileSync(at(`${name}.ext`), `subjectAltName=IP:127.0.0.1\nextendedKeyUsage=${usage}\n`);
    openssl(
      'x509',
      '-req',
      '-days',
      '1',
      '-in',
      at(`${name}.csr`),
      '-CA',
      at('ca.pem'),
      '-CAkey',
      at('ca.key'),
      '-CAcreateserial',
      '-extfile',
      at(`${name}.ext`),
      '-out',
      at(`${name}.pem`),
    );
  }
  const server = await EtcdServer.start(
    'https',
    [
      '--cert-file',
      at('server.pem'),
      '--key-file',
      at('server.key'),
      '--client-cert-auth',
      '--trusted-ca-file',
      at('ca.pem'),
    ],
    ['--cacert', at('ca.pem'), '--cert', at('client.pem'), '--key', at('client.key')],
  );
  t.teardown(() => server.stop());
  const { text, config } = netConf();
  await server.put(`${ROOT}/config`, text);
  await server.ctl('user', 'add', 'root:secret');
  await server.ctl('user', 'grant-role', 'root', 'root');
  await server.ctl('user', 'add', 'flannel:pod');
  await server.ctl('role', 'add', 'net');
  await server.ctl('role', 'grant-permission', '--prefix', 'net', 'readwrite', `${ROOT}/`);
  await server.ctl('user', 'grant-role', 'flannel', 'net');
  await server.ctl('auth', 'enable');

  const tls = {
    endpoints: [server.url],
    prefix: ROOT,
    nodeName: 'a',
    caFile: at('ca.pem'),
    keyFile: at('client.key'),
    certFile: at('client.pem'),
  };
  const open = (more = {}) => {
    const store = new EtcdStore({ ...tls, ...more });
    t.teardown(() => store.close());
    return store;
  };
  const store = open({ username: 'flannel', password: 'pod' });
  const lease = await store.acquire({
    config,
    attributes: leaseAttributes('192.0.2.1'),
    previous: undefined,
  });
  const seen = record(store);
  await seen.until('own lease', () => seen.keys().includes(lease.key));
  await t.rejects(open({ username: 'flannel', password: 'wrong' }).networkConfig(), {
    code: 'ESTORE',
    hint: /--etcd-password/,
  });
  await t.rejects(open({ username: 'flannel', password: 'pod', prefix: '/other' }).networkConfig(), {
    code: 'ESTORE',
    message: /permission denied/,
  });
  await t.rejects(open({ caFile: undefined, deadlineMs: 2000 }).networkConfig(), {
    code: 'ESTORE',
    hint: /TLS files/,
  });
  await t.rejects(open({ keyFile: undefined }).networkConfig(), { code: 'ECONFIG', message: /only one of/ });
  t.same(warnings, [], 'of an address as name in TLS (J13)');
});
