import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { RecordedCalls } from '../../../src/cni/shim/completion.ts';
import type { CniRequest } from '../../../src/cni/shim/protocol.ts';
import { bootId, listRecords, readRecord, requestNow } from '../../../src/cni/shim/recorded.ts';
import { handleRequest } from '../../../src/cni/shim/serve.ts';
import { until } from '../../../src/lab/until.ts';
import { withFlock } from '../../../src/net/file-lock.ts';
import { encodeRequest } from '../../fixtures/cni/protocol.ts';
import { testHost } from './fixtures/harness.ts';

interface Made {
  command?: string;
  id?: string;
  netns?: string;
  was?: string;
  boot?: string;
  time?: bigint;
  plugin?: string;
  config?: object;
}

function setUp(t: Test) {
  const folder = mkdtempSync(join(tmpdir(), 'rs-calls-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const directory = `${folder}/calls`;
  mkdirSync(directory);
  const log: string[] = [];
  const host = { ...testHost(), log: (line: string) => void log.push(line) };
  const record = (name: string, made: Made = {}) => {
    const request: CniRequest = {
      plugin: made.plugin ?? 'host-local',
      stdin: JSON.stringify(made.config ?? { cniVersion: '1.1.0', name: 'net' }),
      env: {
        CNI_COMMAND: made.command ?? 'DEL',
        CNI_CONTAINERID: made.id ?? 'c1',
        CNI_IFNAME: 'eth0',
        CNI_NETNS: made.netns ?? '',
        CNI_PATH: '/opt/cni/bin',
        RIPSTOP_TIME: String(made.time ?? 1n),
        RIPSTOP_BOOT: made.boot ?? bootId(),
        RIPSTOP_NETNS: made.was ?? '',
      },
    };
    writeFileSync(`${directory}/${name}.call`, encodeRequest(request));
  };
  const seen: CniRequest[] = [];
  /** Answers by container id: an error object, or success. */
  const answers: Record<string, object> = {};
  const double = async (request: CniRequest) => {
    seen.push(request);
    const fault = answers[request.env.CNI_CONTAINERID ?? ''];
    return { status: fault ? 1 : 0, stdout: fault ? JSON.stringify(fault) : '', stderr: '' };
  };
  const left = () => listRecords(directory).map(file => file.slice(directory.length + 1, -'.call'.length));
  const refused = () => {
    try {
      return readdirSync(`${directory}/refused`);
    } catch {
      return [];
    }
  };
  return { folder, directory, log, host, record, seen, answers, double, left, refused };
}

t.test('records are completed in the order in which they were made', async t => {
  const { directory, host, record, seen, double, left } = setUp(t);
  record('DEL-a', { id: 'third', time: 30n });
  record('DEL-b', { id: 'first', time: 5n });
  record('DEL-c', { id: 'second', time: 20n });
  const report = await new RecordedCalls(directory, host, double).complete();
  t.strictSame(
    seen.map(one => one.env.CNI_CONTAINERID),
    ['first', 'second', 'third'],
  );
  t.match(
    report.completed[0],
    'completed the recorded DEL of host-local for eth0 of container first in network "net"',
  );
  t.strictSame(left(), []);
  t.notOk(Object.keys(seen[0]!.env).some(name => name.startsWith('RIPSTOP_')));
});

t.test('no directory, an empty one: nothing is done', async t => {
  const { directory, host, double, seen, folder } = setUp(t);
  for (const one of [directory, `${folder}/absent`]) {
    const recorded = new RecordedCalls(one, host, double);
    t.strictSame(await recorded.complete(), { completed: [], refused: [], failed: [] });
    t.equal(await recorded.beforeAdd('c1', 'eth0'), undefined);
  }
  t.strictSame(seen, []);
});

t.test('records that are none are set aside and named, the others completed', async t => {
  const { directory, host, record, double, left, refused, log } = setUp(t);
  writeFileSync(`${directory}/DEL-empty.call`, '');
  writeFileSync(
    `${directory}/DEL-noise.call`,
    Buffer.from([...'RSCNI1\n'].map(c => c.charCodeAt(0)).concat([9, 0, 0, 0])),
  );
  mkdirSync(`${directory}/DEL-folder.call`);
  symlinkSync('/etc/passwd', `${directory}/DEL-link.call`);
  execFileSync('mkfifo', [`${directory}/DEL-fifo.call`]);
  record('DEL-add', { command: 'ADD' });
  record('DEL-time', { time: -1n });
  record('DEL-good');
  const report = await new RecordedCalls(directory, host, double).complete();
  t.equal(report.completed.length, 1);
  t.equal(report.refused.length, 7);
  t.strictSame(left(), []);
  t.equal(refused().length, 7);
  t.match(log.join('\n'), /DEL-noise\.call: it cannot be read/);
});

t.test('a call that can never succeed is set aside, one that may is kept and tried again', async t => {
  const { directory, host, record, seen, answers, double, left, refused } = setUp(t);
  record('DEL-bad', { id: 'bad' });
  record('DEL-busy', { id: 'busy' });
  record('DEL-good', { id: 'good' });
  answers.bad = { code: 7, msg: 'no such key' };
  answers.busy = { code: 999, msg: 'nft is busy' };
  const recorded = new RecordedCalls(directory, host, double);
  const report = await recorded.complete();
  t.match(report, { completed: [/good/], refused: [/no such key/], failed: [/nft is busy/] });
  t.strictSame(left(), ['DEL-busy']);
  t.strictSame(refused(), ['DEL-bad.call']);
  t.ok(recorded.hasFailed);
  seen.length = 0;
  t.equal(await recorded.beforeAdd('other', 'eth0'), undefined, 'another ADD does not wait for it');
  t.strictSame(seen, []);
  t.match(await recorded.beforeAdd('busy', 'eth0'), /nft is busy/, 'an ADD of the same attachment must');
  t.equal(seen.length, 1);
  delete answers.busy;
  t.equal(await recorded.beforeAdd('busy', 'eth0'), undefined);
  t.strictSame(left(), []);
  t.notOk(recorded.hasFailed);
});

t.test('a call that hangs, later passes: it is not begun a second time, and no ADD waits for it', async t => {
  const { directory, host, record, seen, left } = setUp(t);
  record('DEL-1', { id: 'hangs' });
  const done = { status: 0, stdout: '', stderr: '' };
  let finish = () => {};
  const work = (request: CniRequest) => {
    seen.push(request);
    if (seen.length > 1) return Promise.resolve(done);
    return new Promise<typeof done>(resolve => {
      finish = () => resolve(done);
    });
  };
  const recorded = new RecordedCalls(directory, host, work, 20);
  await recorded.complete();
  for (let i = 0; i < 5; i++) await recorded.retry();
  t.equal(await recorded.beforeAdd('other', 'eth0'), undefined);
  t.match(
    await recorded.beforeAdd('hangs', 'eth0'),
    /not finished/,
    'an ADD of the same attachment must wait',
  );
  t.match((await recorded.complete()).failed, [/not finished/]);
  t.equal(seen.length, 1);
  finish();
  await new Promise(setImmediate);
  t.equal((await recorded.complete()).completed.length, 1, 'it is begun again once it has ended');
  t.strictSame(left(), []);
});

t.test('retries during a pass: none is queued behind it', async t => {
  const { directory, host, record, seen } = setUp(t);
  record('DEL-1', { id: 'fails' });
  let finish = () => {};
  const work = async (request: CniRequest) => {
    seen.push(request);
    if (seen.length > 1)
      await new Promise<void>(resolve => {
        finish = resolve;
      });
    return { status: 1, stdout: JSON.stringify({ code: 999, msg: 'nft is busy' }), stderr: '' };
  };
  const recorded = new RecordedCalls(directory, host, work);
  await recorded.complete();
  const first = recorded.retry();
  await until('the call is tried again', () => seen.length === 2);
  for (let i = 0; i < 5; i++) await recorded.retry();
  finish();
  await first;
  t.equal(await recorded.beforeAdd('other', 'eth0'), undefined);
  t.equal(seen.length, 2);
});

t.test('an agent that ends during a call that hangs: no call is begun, all stay recorded', async t => {
  const { directory, host, record, seen, left } = setUp(t);
  record('DEL-1', { id: 'hangs', time: 1n });
  record('DEL-2', { id: 'next', time: 2n });
  const work = (request: CniRequest) => {
    seen.push(request);
    return new Promise<never>(() => {});
  };
  const recorded = new RecordedCalls(directory, host, work);
  const pass = recorded.complete();
  await until('the call is begun', () => seen.length === 1);
  recorded.end();
  await pass;
  t.equal(seen.length, 1);
  t.strictSame(left().sort(), ['DEL-1', 'DEL-2']);
});

t.test('a directory that cannot be locked: named once, and tried again', async t => {
  const { directory, host, record, double, left, log } = setUp(t);
  record('DEL-1');
  writeFileSync(`${directory}/completing`, 'a file in the place of a directory');
  const recorded = new RecordedCalls(directory, host, double);
  for (let i = 0; i < 3; i++) t.equal(await recorded.beforeAdd('other', 'eth0'), undefined);
  t.equal(log.length, 1, log.join('\n'));
  t.ok(recorded.hasFailed);
  rmSync(`${directory}/completing`);
  await recorded.retry();
  t.strictSame(left(), []);
  t.notOk(recorded.hasFailed);
});

t.test('a lock that another process keeps: an error that names it', async t => {
  const { directory } = setUp(t);
  await withFlock(directory, async () => {
    await t.rejects(
      withFlock(directory, () => t.fail('the lock was given twice'), 30),
      { code: 'EAGAIN', message: /another process has held it/ },
    );
  });
});

t.test('completion, a call that hangs or throws: other calls do not wait', async t => {
  const { directory, host, record, left } = setUp(t);
  record('DEL-1', { id: 'hangs', time: 1n });
  record('DEL-2', { id: 'throws', time: 2n });
  record('DEL-3', { id: 'good', time: 3n });
  const work = (request: CniRequest) => {
    const id = request.env.CNI_CONTAINERID;
    if (id === 'throws') throw new Error('out of order');
    return id === 'hangs'
      ? new Promise<never>(() => {})
      : Promise.resolve({ status: 0, stdout: '', stderr: '' });
  };
  const report = await new RecordedCalls(directory, host, work, 20).complete();
  t.match(report, { completed: [/good/], failed: [/not finished/, /out of order/] });
  t.strictSame(left().sort(), ['DEL-1', 'DEL-2']);
});

t.test('a call during which the process ends again and again is set aside', async t => {
  const { directory, host, record, left, refused } = setUp(t);
  record('DEL-1');
  // What three such processes have left.
  mkdirSync(`${directory}/completing`, { recursive: true });
  writeFileSync(`${directory}/completing/now`, 'DEL-1.call 3');
  const report = await new RecordedCalls(directory, host, async () => t.fail() as never).complete();
  t.match(report.refused, [/ended 3 times/]);
  t.strictSame(left(), []);
  t.strictSame(refused(), ['DEL-1.call']);
});

t.test('two that complete at once run each call once', async t => {
  const { directory, host, record, seen, double } = setUp(t);
  for (let i = 0; i < 20; i++) record(`DEL-${i}`, { id: `c${i}`, time: BigInt(i) });
  const slow = async (request: CniRequest) => {
    await new Promise(wake => setTimeout(wake, 2));
    return double(request);
  };
  const two = [new RecordedCalls(directory, host, slow), new RecordedCalls(directory, host, slow)];
  const reports = await Promise.all([...two, ...two].map(one => one.complete()));
  t.equal(seen.length, 20);
  t.equal(
    reports.reduce((sum, one) => sum + one.completed.length, 0),
    20,
  );
});

t.test('record written again during its completion: kept', async t => {
  const { directory, host, record, left } = setUp(t);
  record('DEL-1', { time: 1n });
  let times = 0;
  const recorded = new RecordedCalls(directory, host, async () => {
    if (times++ === 0) {
      rmSync(`${directory}/DEL-1.call`);
      writeFileSync(`${directory}/filler`, '');
      record('DEL-1', { time: 2n });
    }
    return { status: 0, stdout: '', stderr: '' };
  });
  await recorded.complete();
  if (left().length > 0) await recorded.complete();
  t.strictSame(left(), []);
  t.ok(times >= 1);
});

t.test('the namespace of a record is entered only when it is the same one', async t => {
  const { directory, record } = setUp(t);
  const now = { device: 4n, inode: 77n, born: 1234n };
  const probe = { identify: (path: string) => (path === '/run/netns/x' ? now : undefined) };
  const entered = (made: Made) => {
    record('DEL-1', made);
    const call = readRecord(`${directory}/DEL-1.call`)!;
    return requestNow(call, probe, 'this boot').env.CNI_NETNS;
  };
  const same = { netns: '/run/netns/x', was: '4:77:1234', boot: 'this boot' };
  t.equal(entered(same), '/run/netns/x');
  t.equal(entered({ ...same, was: '4:77:1235' }), '', 'another one that has got the same number');
  t.equal(entered({ ...same, was: '4:78:1234' }), '');
  t.equal(entered({ ...same, was: '' }), '', 'it was none then');
  t.equal(entered({ ...same, boot: 'another' }), '');
  t.equal(entered({ ...same, netns: '/run/netns/gone' }), '');
});

t.test('a recorded GC that others have overtaken is not run', async t => {
  const { directory, host, record, seen, double, refused, folder } = setUp(t);
  const dataDir = `${folder}/networks`;
  mkdirSync(`${dataDir}/net`, { recursive: true });
  const at = (address: string, seconds: number) => {
    writeFileSync(`${dataDir}/net/${address}`, 'c9\r\neth0');
    utimesSync(`${dataDir}/net/${address}`, seconds, seconds);
  };
  const time = 1_000_000n * 1_000_000_000n;
  const config = { cniVersion: '1.1.0', name: 'net', ipam: { type: 'host-local', dataDir } };
  const both = () => {
    record('GC-1', { command: 'GC', config, time, plugin: 'bridge' });
    record('GC-2', { command: 'GC', config: { name: 'net' }, time: time + 1n, plugin: 'portmap' });
  };
  at('10.1.0.2', 999_999);
  writeFileSync(`${dataDir}/net/last_reserved_ip.0`, '10.1.0.2');
  both();
  t.equal((await new RecordedCalls(directory, host, double).complete()).completed.length, 2);
  seen.length = 0;
  at('10.1.0.3', 1_000_001);
  both();
  const report = await new RecordedCalls(directory, host, double).complete();
  t.match(report.refused, [/GC of bridge in network "net" is out of date/, /GC of portmap/]);
  t.strictSame(seen, [], 'the address of the new pod is not freed');
  t.equal(refused().length, 2);
  rmSync(`${dataDir}/net/10.1.0.3`);
  record('GC-3', { command: 'GC', config, time, boot: 'a former one' });
  await new RecordedCalls(directory, host, double).complete();
  t.strictSame(seen, []);
});

t.test('a recorded DEL frees the address, by the plugin itself', async t => {
  const { directory, host, record, folder, left } = setUp(t);
  const dataDir = `${folder}/networks`;
  mkdirSync(`${dataDir}/net`, { recursive: true });
  writeFileSync(`${dataDir}/net/10.1.0.2`, 'c1\r\neth0');
  writeFileSync(`${dataDir}/net/10.1.0.3`, 'c2\r\neth0');
  record('DEL-1', {
    config: {
      cniVersion: '1.0.0',
      name: 'net',
      ipam: { type: 'host-local', dataDir, subnet: '10.1.0.0/24' },
    },
    netns: '/run/netns/gone',
  });
  await new RecordedCalls(directory, host, handleRequest).complete();
  t.strictSame(
    readdirSync(`${dataDir}/net`).filter(name => /^\d/.test(name)),
    ['10.1.0.3'],
  );
  t.strictSame(left(), []);
});
