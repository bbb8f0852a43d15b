import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { ownDevices, StateDir } from '../../../../src/agent/inputs/state-dir.ts';
import type { Lease } from '../../../../src/agent/lease/lease.ts';
import { writeFileAtomic } from '../../../../src/base/atomic-file.ts';
import { parsePrefix } from '../../../../src/ip/prefix.ts';
import { until } from '../../../../src/lab/until.ts';
import type { Link } from '../../../../src/net/rtnetlink/links.ts';
import { leaseAttributes } from '../../../fixtures/agents/lease-store.ts';

const fail = (error: unknown) => {
  throw error;
};

t.test('MACs, state and names of devices for the next start', async t => {
  const directory = mkdtempSync(join(tmpdir(), 'rs-stateDir-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const first = await new StateDir(directory).macs({}, fail);
  t.match(first.mac4, /^[0-9a-f][26ae](:[0-9a-f]{2}){5}$/, 'local and unicast');
  t.not(first.mac4, first.mac6);
  t.same(
    await new StateDir(directory).macs({ mac: '02:00:00:00:00:01' }, fail),
    first,
    'the same at the next start',
  );
  rmSync(join(directory, 'vtep.json'));
  t.equal(
    (await new StateDir(directory).macs({ mac: '02:00:00:00:00:01' }, fail)).mac4,
    '02:00:00:00:00:01',
    'after a reboot the store’s',
  );

  const lease: Lease = {
    key: '10.7.1.0-24&fc00::-64',
    v4: parsePrefix('10.7.1.0/24'),
    v6: parsePrefix('fc00::/64'),
    attributes: leaseAttributes('192.0.2.1'),
    expiresAt: 77,
    node: 'a',
  };
  const known = {
    store: '/mnt/net',
    config: { text: '{}', source: 'x' },
    overrides: { publicIp: '203.0.113.1' },
    refused: new Set(['b']),
    lease,
    leases: new Map([
      ['a', lease],
      ['b', { ...lease, key: 'b', expiresAt: undefined, v6: undefined }],
    ]),
  };
  t.equal(await new StateDir(directory).load(), undefined);
  const stateDir = new StateDir(directory);
  stateDir.save(known, error => t.fail(String(error)));
  await stateDir.flush();
  const back = await new StateDir(directory).load();
  t.same(back!.lease, { ...lease, node: undefined }, 'liveness is not saved');
  t.equal(back!.leases.size, 2);
  t.equal(back!.store, '/mnt/net');
  t.same(back!.overrides, { publicIp: '203.0.113.1' });
  t.same([...back!.refused], ['b']);
  t.equal(statSync(join(directory, 'last-known.json')).mode & 0o777, 0o600);
  writeFileSync(join(directory, 'last-known.json'), '{"lease":{}}');
  t.equal(await new StateDir(directory).load(), undefined, 'a file of another version is ignored');
  await new StateDir(directory).rememberDevices(['flannel.1']);
  await new StateDir(directory).rememberDevices(['flannel0', 'flannel.1']);
  t.same(await new StateDir(directory).devices(), ['flannel.1', 'flannel0']);
  writeFileSync(join(directory, 'devices.json'), '{"a":1}');
  t.same(await new StateDir(directory).devices(), [], 'a file with other content is ignored');
  writeFileSync(join(directory, 'vtep.json'), '{"mac4":"zz","mac6":5}');
  const repaired = await new StateDir(directory).macs({ mac: '02:00:00:00:00:01' }, fail);
  t.equal(repaired.mac4, '02:00:00:00:00:01');
  t.match(repaired.mac6, /^..(:..){5}$/);
});

t.test('devices that an agent made, by their names and what shows that they were not replaced', async t => {
  const link = (name: string, kind: string, alias?: string) => ({ name, kind, alias }) as Link;
  const links = [
    link('flannel.1', 'vxlan'),
    link('flannel.2', 'vxlan', 'ripstop'),
    link('flannel.3', 'tun'),
    link('flannel.4', 'tun'),
    link('eth0', 'veth', 'ripstop'),
    link('rs-old-12', 'vxlan'),
    link('rs-older', 'vxlan'),
  ];
  const made = ['flannel.1', 'flannel.2', 'flannel.3', 'eth0'];
  const own = ['flannel.2', 'flannel.3', 'rs-old-12'];
  t.same(ownDevices(links, made), own, 'flannel.1 is one of flanneld, and the last was set aside');
});

t.test('a file that cannot be written is named', async t => {
  const directory = mkdtempSync(join(tmpdir(), 'rs-stateDir-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  mkdirSync(join(directory, 'taken'));
  const path = join(directory, 'taken');
  await t.rejects(writeFileAtomic(path, 'x'), {
    code: 'EISDIR',
    message: `${path}: EISDIR: illegal operation on a directory`,
  });
});

t.test('a burst of changes, saved after each: few writes, and the file holds the last state', async t => {
  const directory = mkdtempSync(join(tmpdir(), 'rs-stateDir-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const lease = (key: string): Lease => ({
    key,
    v4: parsePrefix('10.7.1.0/24'),
    v6: undefined,
    attributes: leaseAttributes('192.0.2.1'),
    expiresAt: 0,
    node: undefined,
  });
  const leases = new Map<string, Lease>();
  const known = {
    store: 'x',
    config: { text: '{}', source: 'x' },
    overrides: {},
    refused: new Set<string>(),
    lease: lease('own'),
    leases,
  };
  // The first interval is not over before flush() ends it, however slow the machine is.
  const stateDir = new StateDir(directory, 3_600_000);
  const failed = (error: unknown) => t.fail(String(error));
  const inodes = new Set<bigint>();
  const look = () => {
    const found = statSync(join(directory, 'last-known.json'), { bigint: true, throwIfNoEntry: false });
    if (found) inodes.add(found.ino);
  };
  for (let n = 0; n < 300; n++) {
    leases.set(`n${n}`, lease(`n${n}`));
    stateDir.save(known, failed);
    if (n % 10 === 0) await new Promise(resolve => setImmediate(resolve));
    look();
  }
  for (let n = 0; n < 100; n++) {
    leases.delete(`n${n}`);
    stateDir.save(known, failed);
  }
  await stateDir.flush();
  look();
  const back = await new StateDir(directory).load();
  t.same([...back!.leases.keys()].sort(), [...leases.keys()].sort());
  t.ok(inodes.size <= 2, `${inodes.size} files were put in place for 400 changes within one interval`);

  const busy = new StateDir(directory, 1);
  for (const key of ['first', 'second']) {
    leases.set(key, lease(key));
    busy.save(known, failed);
    await until(`${key} saved without flush()`, async () => (await busy.load())?.leases.has(key));
  }
  await busy.flush();

  rmSync(directory, { recursive: true });
  writeFileSync(directory, 'in the way');
  const failures: unknown[] = [];
  leases.set('late', lease('late'));
  stateDir.save(known, error => failures.push(error));
  await stateDir.flush();
  t.equal(failures.length, 1, 'a write that fails is reported');
  rmSync(directory);
  stateDir.save(known, failed);
  await stateDir.flush();
  t.ok((await new StateDir(directory).load())!.leases.has('late'), 'the next write succeeds');

  rmSync(directory, { recursive: true });
  writeFileSync(directory, 'in the way');
  const retrying = new StateDir(directory, 1);
  const reasons: string[] = [];
  leases.set('later', lease('later'));
  retrying.save(known, error => reasons.push(String(error)));
  await until('the failure', () => reasons.length > 0);
  rmSync(directory);
  await until('it saved without another call', async () => (await retrying.load())?.leases.has('later'));
  t.equal(new Set(reasons).size, reasons.length, 'a reason is reported once');
  await retrying.flush();
});
