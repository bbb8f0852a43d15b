import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { FileStore } from '../../../../src/agent/store/file.ts';
import { leaseAttributes, netConf, record } from '../../../fixtures/agents/lease-store.ts';

const ATTRIBUTES = leaseAttributes('192.0.2.1');

for (const layout of ['directory', 'one file'] as const)
  t.test(layout, async t => {
    function place(t: Test) {
      const root = mkdtempSync(join(tmpdir(), 'rs-store-'));
      const isDirectory = layout === 'directory';
      const path = join(root, isDirectory ? 'net' : 'net.json');
      const nodes = isDirectory ? join(path, 'nodes') : `${path}.nodes`;
      const { text, config } = netConf();
      const stores: FileStore[] = [];
      t.teardown(async () => {
        await Promise.all(stores.map(store => store.close()));
        rmSync(root, { recursive: true, force: true });
      });
      const setConfig = (json: string | undefined) => {
        if (!isDirectory) {
          const whole = json === undefined ? undefined : JSON.parse(json);
          const old = readdirSync(root).includes('net.json') ? JSON.parse(readFileSync(path, 'utf8')) : {};
          writeFileSync(path, JSON.stringify({ ...old, config: whole }));
          return;
        }
        mkdirSync(path, { recursive: true });
        if (json === undefined) rmSync(join(path, 'config.json'));
        else writeFileSync(join(path, 'config.json'), json);
      };
      setConfig(text);
      const setLease = (key: string, value: object) => {
        const json = JSON.stringify(value);
        if (isDirectory) return writeFileSync(join(path, 'subnets', key), json);
        const whole = JSON.parse(readFileSync(path, 'utf8'));
        return writeFileSync(path, JSON.stringify({ ...whole, subnets: { ...whole.subnets, [key]: value } }));
      };
      const open = (nodeName: string) => {
        const store = new FileStore({ path, nodeName, pollMs: 100, graceMs: 300, heartbeatMs: 100 });
        stores.push(store);
        return store;
      };
      return { root, path, nodes, config, text, setConfig, setLease, open };
    }

    t.test('reboot (A19): the node waits while its former heartbeat is fresh, then takes over', async t => {
      const { nodes, config, open } = place(t);
      const told: string[] = [];
      const request = {
        config,
        attributes: ATTRIBUTES,
        previous: undefined,
        waiting: (why: string) => told.push(why),
      };
      const { key } = await open('a').acquire(request);
      const heartbeat = join(nodes, '192.0.2.1');
      const beat = (token: string, silentSeconds: number) => {
        writeFileSync(heartbeat, token);
        const at = Date.now() / 1000 - silentSeconds;
        utimesSync(heartbeat, at, at);
      };
      beat('a/another boot', 14);
      t.equal((await open('a').acquire(request)).key, key);
      t.same(told, [], 'silent for longer than a heartbeat');
      beat('a/another boot', 11);
      t.equal((await open('a').acquire(request)).key, key);
      t.match(told, [/^node a was alive 1\d s ago under another boot .* unless it is seen again$/]);
      beat('a/another boot', 5);
      const clone = setInterval(() => beat('a/another boot', 0), 400);
      t.teardown(() => clearInterval(clone));
      await t.rejects(open('a').acquire(request), { code: 'EINUSE' }, 'a clone that is alive');
      clearInterval(clone);
      beat('b/another boot', 20);
      await t.rejects(open('a').acquire(request), { code: 'EINUSE' }, 'another name');
    });

    t.test('a store that takes no writes (A13): named once, reads go on, the recovery too', async t => {
      const { nodes, config, open, setLease } = place(t);
      const store = open('a');
      await store.acquire({ config, attributes: ATTRIBUTES, previous: undefined });
      const seen = record(store);
      await seen.until('up', () => seen.events.includes('up'));
      t.equal(store.failing.size, 0);
      // Root may write everywhere: a file where the directory was refuses it.
      renameSync(nodes, `${nodes}-away`);
      writeFileSync(nodes, '');
      await seen.until('the failure', () => store.failing.has('heartbeat'));
      setLease('10.7.99.0-24', { PublicIP: '192.0.2.99', PublicIPv6: null });
      await seen.until('a lease of another node', () => seen.keys().includes('10.7.99.0-24'));
      t.equal(seen.events.filter(event => event === 'retrying').length, 1);
      t.notOk(seen.events.includes('down'), 'reads work');
      rmSync(nodes);
      renameSync(`${nodes}-away`, nodes);
      await seen.until('the recovery', () => seen.events.includes('wrote heartbeat'));
      t.equal(store.failing.size, 0);
    });

    t.test('large leases (H6): not read, and named in one short line each', async t => {
      const { config, open, setLease } = place(t);
      const store = open('a');
      await store.acquire({ config, attributes: ATTRIBUTES, previous: undefined });
      const good = { PublicIP: '192.0.2.7', PublicIPv6: null, BackendType: 'vxlan' };
      setLease('10.7.98.0-24', { ...good, BackendData: 'x'.repeat(300_000) });
      setLease('10.7.97.0-24', { ...good, PublicIP: 'x'.repeat(15_000) });
      setLease('10.7.96.0-24', good);
      const seen = record(store);
      await seen.until('the good lease', () => seen.keys().includes('10.7.96.0-24'));
      t.same([...store.unreadable.keys()].sort(), ['10.7.97.0-24', '10.7.98.0-24']);
      t.match(store.unreadable.get('10.7.98.0-24'), /more than a lease, at most \d+ are read/);
      for (const { message } of seen.troubles) t.ok(message.length < 400, message.slice(0, 100));
      setLease('10.7.98.0-24', good);
      await seen.until('the corrected lease', () => seen.keys().includes('10.7.98.0-24'));
      t.same([...store.unreadable.keys()], ['10.7.97.0-24']);
    });

    t.test('the configuration is deleted and comes back (J11 e): told once each', async t => {
      const { config, text, open, setConfig } = place(t);
      const store = open('a');
      await store.networkConfig();
      await store.acquire({ config, attributes: ATTRIBUTES, previous: undefined });
      const seen = record(store);
      await seen.until('up', () => seen.events.includes('up'));
      t.same(seen.configs, []);
      setConfig(undefined);
      await seen.until('its end', () => seen.configs.length === 1);
      setConfig(text);
      await seen.until('its return', () => seen.configs.length === 2);
      t.same(seen.configs, [undefined, text]);
    });

    t.test('temporary files of killed writers (H23): removed when old', async t => {
      const { root, path, nodes, config, open } = place(t);
      const subnets = layout === 'directory' ? join(path, 'subnets') : root;
      const name = layout === 'directory' ? '10.7.1.0-24' : 'net.json';
      mkdirSync(subnets, { recursive: true });
      mkdirSync(nodes, { recursive: true });
      const old = Date.now() / 1000 - 3600;
      const left = [join(subnets, `${name}.4711.0a1b2c3d:.tmp`), join(nodes, '192.0.2.9.4711.0a1b2c3d:.tmp')];
      for (const file of left) {
        writeFileSync(file, 'x');
        utimesSync(file, old, old);
      }
      const young = join(subnets, `${name}.4712.0a1b2c3d:.tmp`);
      const foreign = join(subnets, 'notes.tmp');
      writeFileSync(young, 'x');
      writeFileSync(foreign, 'x');
      utimesSync(foreign, old, old);
      await open('a').acquire({ config, attributes: ATTRIBUTES, previous: undefined });
      const names = [...readdirSync(subnets), ...readdirSync(nodes)].filter(file => file.endsWith('.tmp'));
      t.same(names.sort(), [`${name}.4712.0a1b2c3d:.tmp`, 'notes.tmp'].sort());
    });
  });
