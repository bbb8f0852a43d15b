import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import t, { type Test } from 'tap';
import { subnetsOverlap } from '../../../../src/agent/lease/allocate.ts';
import { FileStore } from '../../../../src/agent/store/file.ts';
import { withLockFile } from '../../../../src/base/file-lock.ts';
import { parsePrefix } from '../../../../src/ip/prefix.ts';
import { leaseAttributes, netConf, record } from '../../../fixtures/agents/lease-store.ts';
import { stays } from '../../../fixtures/agents/stays.ts';

for (const layout of ['directory', 'one file'] as const)
  t.test(layout, async t => {
    /** A fresh place, and stores on it that are closed at the end. */
    function place(t: Test, extra: Record<string, unknown> = {}) {
      const root = mkdtempSync(join(tmpdir(), 'rs-store-'));
      const path = join(root, layout === 'directory' ? 'net' : 'net.json');
      const { text, config } = netConf(extra);
      const stores: FileStore[] = [];
      t.teardown(async () => {
        await Promise.all(stores.map(store => store.close()));
        rmSync(root, { recursive: true, force: true });
      });
      const setConfig = (json: string) => {
        if (layout === 'directory') {
          mkdirSync(path, { recursive: true });
          writeFileSync(join(path, 'config.json'), json);
        } else writeFileSync(path, JSON.stringify({ config: JSON.parse(json) }));
      };
      setConfig(text);
      const open = (nodeName: string, ttlMs?: number) => {
        const store = new FileStore({
          path,
          nodeName,
          pollMs: 100,
          graceMs: 300,
          ...(ttlMs ? { ttlMs } : {}),
        });
        stores.push(store);
        return store;
      };
      const setSubnet = (key: string, json: string) => {
        if (layout === 'directory') return writeFileSync(join(path, 'subnets', key), json);
        const whole = JSON.parse(readFileSync(path, 'utf8'));
        writeFileSync(
          path,
          JSON.stringify({ ...whole, subnets: { ...whole.subnets, [key]: JSON.parse(json) } }),
        );
      };
      return { path, config, open, setConfig, setSubnet };
    }

    t.test('forty agents at once get forty subnets', async t => {
      const { config, open } = place(t, { Network: '10.7.0.0/20' });
      t.test('of fifteen only fifteen', async t => {
        const results = await Promise.allSettled(
          Array.from({ length: 20 }, (_, i) =>
            open(`n${i}`).acquire({
              config,
              attributes: leaseAttributes(`192.0.2.${i + 1}`),
              previous: undefined,
            }),
          ),
        );
        const leases = results.flatMap(result => (result.status === 'fulfilled' ? [result.value] : []));
        const errors = results.flatMap(result => (result.status === 'rejected' ? [result.reason.code] : []));
        t.equal(leases.length, 15);
        t.same(errors, ['ERANGE', 'ERANGE', 'ERANGE', 'ERANGE', 'ERANGE']);
        t.notOk(leases.some((a, i) => leases.some((b, j) => i < j && subnetsOverlap(a, b))));
      });
    });

    t.test('a node gets its subnet again: by identity, and by its former subnet', async t => {
      const { config, open } = place(t);
      const first = await open('a').acquire({
        config,
        attributes: leaseAttributes('192.0.2.1'),
        previous: undefined,
      });
      const again = await open('a').acquire({
        config,
        attributes: leaseAttributes('192.0.2.1', 9),
        previous: undefined,
      });
      t.equal(again.key, first.key);
      const asked = { v4: parsePrefix('10.7.200.0/24'), v6: undefined };
      const other = await open('b').acquire({
        config,
        attributes: leaseAttributes('192.0.2.2'),
        previous: asked,
      });
      t.equal(other.key, '10.7.200.0-24');
    });

    t.test('an entry that is no lease is named with path and expected type', async t => {
      const { config, open, setSubnet } = place(t);
      await open('b').acquire({ config, attributes: leaseAttributes('192.0.2.2'), previous: undefined });
      const wrong: Record<string, [value: string, message: RegExp]> = {
        '10.7.44.0-24&fc00-zz---64': ['{}', /is not a subnet/],
        '10.7.45.0-24': ['{"PublicIP":5}', /10\.7\.45\.0-24\.PublicIP: 5 is not an IPv4 address/],
        '10.7.46.0-24': ['{"PublicIP":"192.0.2.1","Expires":1}', /\.Expires: 1 is not an ISO time/],
      };
      for (const [key, [value]] of Object.entries(wrong)) setSubnet(key, value);
      const store = open('a');
      const seen = record(store);
      await seen.until('all', () => store.unreadable.size === 3);
      for (const [key, [, message]] of Object.entries(wrong)) t.match(store.unreadable.get(key), message);
      t.equal(seen.events.filter(event => event === 'malformed').length, 3, 'each is reported once');
    });

    t.test('followers see leases come, change and go, and the configuration change', async t => {
      const { path, config, open, setConfig } = place(t);
      const store = open('a');
      await store.networkConfig();
      const seen = record(store);
      await seen.until('up', () => seen.events.includes('up'));
      const b = open('b');
      const lease = await b.acquire({
        config,
        attributes: leaseAttributes('192.0.2.2'),
        previous: undefined,
      });
      await seen.until('the lease of b', () => seen.keys().includes(lease.key));
      await b.acquire({ config, attributes: leaseAttributes('192.0.2.2', 77), previous: undefined });
      await seen.until('its new MAC', () => seen.macs().includes('0a:00:00:00:00:4d'));
      const count = seen.events.length;
      t.ok(await b.renew(lease));
      await stays(t, 'a renewal is not reported', () => seen.events.slice(count), []);
      if (layout === 'directory') {
        rmSync(join(path, 'subnets', lease.key));
        await seen.until('it gone', () => seen.keys().length === 0);
        t.equal(await b.renew(lease), undefined, 'the holder learns at the next renewal');
        writeFileSync(join(path, 'subnets', '10.7.9.0-24'), 'rubbish');
        await seen.until('rubbish told', () => seen.events.includes('malformed'));
      }
      setConfig(netConf({ SubnetLen: 25 }).text);
      await seen.until('config', () => seen.configs.length > 0);
      t.match(seen.configs[0], /"SubnetLen":25/);
    });

    t.test('a lease ends; a reservation does not', async t => {
      const { path, config, open } = place(t);
      const holder = open('dead', 200);
      const dead = await holder.acquire({
        config,
        attributes: leaseAttributes('192.0.2.3'),
        previous: undefined,
      });
      const store = open('a');
      const seen = record(store);
      await seen.until('seen', () => seen.keys().includes(dead.key));
      await holder.close();
      await seen.until('ended', () => !seen.keys().includes(dead.key));
      if (layout === 'directory')
        writeFileSync(join(path, 'subnets', '10.7.50.0-24'), '{"PublicIP":"192.0.2.5"}');
      else
        writeFileSync(
          path,
          JSON.stringify({ config: {}, subnets: { '10.7.50.0-24': { PublicIP: '192.0.2.5' } } }),
        );
      const kept = await open('e').acquire({
        config,
        attributes: leaseAttributes('192.0.2.5'),
        previous: undefined,
      });
      t.equal(kept.key, '10.7.50.0-24');
      t.equal(kept.expiresAt, 0);
      const renewed = await open('e').renew(kept);
      t.equal(renewed!.expiresAt, 0);
    });

    t.test('clock that jumps: ends no lease', async t => {
      const { config, open } = place(t);
      const wish = { config, attributes: leaseAttributes('192.0.2.3'), previous: undefined };
      const holder = open('alive', 200);
      const lease = await holder.acquire(wish);
      const seen = record(open('a'));
      await seen.until('seen', () => seen.keys().includes(lease.key));
      // It has expired by the wall clock, but its holder still sends heartbeats.
      await stays(t, 'the lease stays', () => seen.keys(), [lease.key], 900);
      await holder.close();
      await seen.until('ended with its holder', () => seen.keys().length === 0);
    });

    t.test('a second live node with our public address is refused', async t => {
      const { config, open } = place(t);
      const wish = { config, attributes: leaseAttributes('10.0.2.15'), previous: undefined };
      await open('a').acquire(wish);
      await t.rejects(open('b').acquire(wish), { code: 'EINUSE', message: /node a is alive/ });
    });

    t.test('a dead node’s address may be taken over', async t => {
      const { path, config, open } = place(t);
      const wish = { config, attributes: leaseAttributes('10.0.2.15'), previous: undefined };
      const first = await open('a').acquire(wish);
      const sign = join(layout === 'directory' ? join(path, 'nodes') : `${path}.nodes`, '10.0.2.15');
      const past = Date.now() / 1000 - 60;
      utimesSync(sign, past, past);
      t.equal((await open('b').acquire(wish)).key, first.key);
    });

    t.test('no configuration, and no directory to write to', async t => {
      const { open, path } = place(t);
      rmSync(layout === 'directory' ? join(path, 'config.json') : path);
      await t.rejects(open('a').networkConfig(), { code: 'ECONFIG', hint: /net-conf.json/ });
      const blocked = join(dirname(path), 'plain');
      writeFileSync(blocked, '');
      const store = new FileStore({
        path: join(blocked, layout === 'directory' ? 'x' : 'x.json'),
        nodeName: 'a',
      });
      await t.rejects(store.networkConfig(), { code: 'ESTORE' });
    });

    t.test('a store that goes away is told once, and so is its return', async t => {
      const { path, config, open } = place(t);
      const store = open('a');
      await store.acquire({ config, attributes: leaseAttributes('192.0.2.1'), previous: undefined });
      const seen = record(store);
      await seen.until('leases', () => seen.current.length === 1);
      const saved = layout === 'directory' ? undefined : readFileSync(path, 'utf8');
      if (saved === undefined) rmSync(join(path, 'subnets'), { recursive: true });
      else writeFileSync(path, 'not json');
      await seen.until('down', () => seen.events.includes('down'));
      t.equal(seen.current.length, 1, 'what was known stays');
      if (saved === undefined) mkdirSync(join(path, 'subnets'));
      else writeFileSync(path, saved);
      await seen.until('up', () => seen.events.filter(event => event === 'up').length === 2);
      t.equal(seen.events.filter(event => event === 'down').length, 1);
    });
  });

t.test('the lock excludes, and a dead holder’s is broken', async t => {
  const root = mkdtempSync(join(tmpdir(), 'rs-lock-'));
  t.teardown(() => rmSync(root, { recursive: true, force: true }));
  const path = join(root, 'lock');
  let inside = 0;
  let most = 0;
  await Promise.all(
    Array.from({ length: 20 }, () =>
      withLockFile(path, async () => {
        most = Math.max(most, ++inside);
        await new Promise(setImmediate);
        inside--;
      }),
    ),
  );
  t.equal(most, 1);
  t.same(readdirSync(root), []);
  writeFileSync(path, 'dead');
  const past = Date.now() / 1000 - 60;
  utimesSync(path, past, past);
  t.equal(await withLockFile(path, async () => 'in'), 'in');
  t.same(readdirSync(root), []);
  await t.rejects(
    withLockFile(path, () => Promise.reject(new Error('x'))),
    { message: 'x' },
  );
  t.same(readdirSync(root), [], 'released after a failure');
});
