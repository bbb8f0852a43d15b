import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { LINK_RAW, type Packet } from '../../../../src/capture/format/packet.ts';
import { PcapFormat } from '../../../../src/capture/format/pcap/writer.ts';
import { PcapngFormat } from '../../../../src/capture/format/pcapng/writer.ts';
import { FileSink } from '../../../../src/capture/sink/file-sink.ts';
import { openSink } from '../../../../src/capture/sink/open-sink.ts';
import { StreamSink } from '../../../../src/capture/sink/stream-sink.ts';
import { until } from '../../../../src/lab/until.ts';
import { skipUnless } from '../../../fixtures/skip-unless.ts';
import { readAll, statisticsOf } from '../fixtures/files.ts';

const format = () =>
  new PcapngFormat([{ link: LINK_RAW, snapLength: 0, name: 'drop' }], { application: 'ripstop' });
const statistics = () => [{ received: 5n, dropped: 1n, accepted: 4n, delivered: 4n, started: 0n, ended: 9n }];

function packet(index: number, size = 100): Packet {
  return { interface: 0, time: BigInt(index), bytes: new Uint8Array(size).fill(index), length: size };
}

function directory(t: { teardown(fn: () => void): void }): string {
  const path = mkdtempSync(join(tmpdir(), 'rs-sink-'));
  t.teardown(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

const times = (packets: readonly Packet[]) => packets.map(packet => Number(packet.time));

t.test('one file: named only when whole, with statistics', async t => {
  const path = join(directory(t), 'one.pcapng');
  const sink = await FileSink.open({ path, format: format(), statistics });
  for (let i = 1; i <= 3; i++) await sink.packet(packet(i));
  await sink.flush();
  t.equal(sink.written, 3);
  t.strictSame(readdirSync(join(path, '..')), ['one.pcapng.part'], 'not yet under its name');
  await sink.close();
  await sink.close();
  t.strictSame(readdirSync(join(path, '..')), ['one.pcapng']);
  const { packets, error } = await readAll(readFileSync(path));
  t.equal(error, undefined);
  t.strictSame(times(packets), [1, 2, 3]);
  t.match(statisticsOf(readFileSync(path))[0], { received: 5n, dropped: 1n });
});

t.test('rotation by size keeps the newest files, each whole and within the limit', async t => {
  const path = join(directory(t), 'big.pcapng');
  const now = () => Date.UTC(2026, 10, 24, 9, 30, 0);
  const sink = await FileSink.open({
    path,
    format: format(),
    statistics,
    rotation: { bytes: 700, files: 3 },
    now,
  });
  for (let i = 1; i <= 20; i++) await sink.packet(packet(i));
  await sink.packet(packet(21, 5000));
  await sink.packet(packet(22));
  await sink.close();
  const names = readdirSync(join(path, '..')).sort();
  t.equal(names.length, 3);
  t.match(names[0], /^big_000\d\d_20261124093000\.pcapng$/);
  const seen: number[] = [];
  for (const name of names) {
    const bytes = readFileSync(join(path, '..', name));
    const { packets, error } = await readAll(bytes);
    t.equal(error, undefined);
    t.ok(packets.length === 1 || bytes.length <= 700 + 64, `${name} has ${bytes.length} bytes`);
    seen.push(...times(packets));
  }
  t.strictSame(seen.slice(-3), [20, 21, 22], 'nothing is lost at a turn');
  t.strictSame(
    seen,
    [...seen].sort((a, b) => a - b),
  );
});

t.test('rotation by time', async t => {
  const path = join(directory(t), 'slow.pcap');
  let clock = Date.UTC(2026, 0, 1);
  const sink = await FileSink.open({
    path,
    format: new PcapFormat(LINK_RAW, 0),
    statistics,
    rotation: { seconds: 10 },
    now: () => clock,
  });
  for (let i = 1; i <= 6; i++) {
    await sink.packet(packet(i));
    clock += 4000;
  }
  await sink.close();
  const names = readdirSync(join(path, '..')).sort();
  t.strictSame(names, ['slow_00001_20260101000000.pcap', 'slow_00002_20260101000012.pcap']);
  const first = await readAll(readFileSync(join(path, '..', names[0]!)));
  t.strictSame(times(first.packets), [1, 2, 3]);
});

t.test('a path that cannot be written is a clear error', async t => {
  const path = join(directory(t), 'no', 'such', 'place.pcapng');
  await t.rejects(FileSink.open({ path, format: format(), statistics }), {
    code: 'ENOENT',
    message: `${path}: the directory does not exist`,
  });
});

const mounts = { skip: skipUnless('CAP_SYS_ADMIN') };
t.test('a full disk ends the capture; the packets before it are kept and can be read', mounts, async t => {
  const path = join(directory(t), 'full.pcapng');
  const child = fileURLToPath(new URL('../fixtures/full-disk.js', import.meta.url));
  const script =
    'mount -t tmpfs -o size=64k none "$1" && "$2" "$3" "$1/full.pcapng" && cat "$1/full.pcapng" > "$4"';
  const place = join(path, '..');
  const copy = join(directory(t), 'copy.pcapng');
  const run = spawnSync('unshare', ['-m', 'sh', '-c', script, 'sh', place, process.execPath, child, copy], {
    encoding: 'utf8',
  });
  t.match(run.stdout, /^ENOSPC .*full\.pcapng: the disk is full; \d+ packets are kept in /);
  const kept = Number(/; (\d+) packets/.exec(run.stdout)?.[1]);
  const { packets, error } = await readAll(readFileSync(copy));
  t.equal(error, undefined, 'cut at a whole packet');
  t.equal(packets.length, kept);
  t.ok(kept > 10);
});

t.test(
  'a full disk with rotation: each file is whole, and the error says how many packets are where',
  mounts,
  async t => {
    const folder = directory(t);
    const child = fileURLToPath(new URL('../fixtures/full-disk.js', import.meta.url));
    // The disk is full inside a file, or when a new one begins.
    for (const size of [44, 48, 52, 56, 60]) {
      const [place, kept] = ['disk', 'kept'].map(name => join(folder, `${name}${size}`)) as [string, string];
      const script =
        'mkdir "$1" "$4" && mount -t tmpfs -o size="$5"k none "$1" && "$2" "$3" "$1/b.pcapng" 12000; cp "$1"/* "$4"';
      const args = ['-m', 'sh', '-c', script, 'sh', place, process.execPath, child, kept, String(size)];
      const run = spawnSync('unshare', args, { encoding: 'utf8' });
      const said =
        /^ENOSPC .*: the disk is full; (?:(\d+) packets are kept in (\/\S+))?(?: and )?(?:(\d+) packets are kept in (\d+) files)?/;
      const [, here, path, earlier, files] = said.exec(run.stdout) ?? [];
      const names = readdirSync(kept).sort();
      const counts = [];
      for (const name of names) {
        const { packets, error } = await readAll(readFileSync(join(kept, name)));
        t.equal(error, undefined, name);
        counts.push(packets.length);
      }
      t.ok(
        counts.every(count => count > 0),
        `${size}k: ${names} have ${counts}`,
      );
      const last = here === undefined ? 0 : Number(here);
      t.equal(
        last + Number(earlier ?? 0),
        counts.reduce((a, b) => a + b, 0),
        run.stdout,
      );
      t.equal(Number(files ?? 0), names.length - (last > 0 ? 1 : 0));
      if (path !== undefined) t.equal(path.split('/').at(-1), names.at(-1));
    }
  },
);

t.test('a directory is refused at once', async t => {
  const path = directory(t);
  await t.rejects(FileSink.open({ path, format: format(), statistics }), {
    code: 'EISDIR',
    message: `${path}: this is a directory`,
  });
  t.strictSame(readdirSync(path), []);
});

t.test('a stream gets the file as it grows', async t => {
  const stream = new PassThrough();
  const chunks: Buffer[] = [];
  stream.on('data', chunk => chunks.push(chunk));
  const sink = new StreamSink({ stream, format: format(), statistics });
  await sink.packet(packet(1));
  await sink.flush();
  t.equal((await readAll(Buffer.concat(chunks))).packets.length, 1, 'readable before the end');
  await sink.packet(packet(2));
  await sink.close();
  await sink.close();
  t.strictSame(times((await readAll(Buffer.concat(chunks))).packets), [1, 2]);
});

t.test('a closed stream is told as EPIPE, and close is then quiet', async t => {
  const stream = new PassThrough();
  const sink = new StreamSink({ stream, format: format(), statistics });
  await sink.flush();
  stream.destroy();
  await sink.packet(packet(1));
  await t.rejects(sink.flush(), { code: 'EPIPE' });
  await t.rejects(sink.flush(), { code: 'EPIPE' });
  await t.resolves(sink.close());
});

t.test('a real pipe: tcpdump reads along, and `head` closing it is no fault', async t => {
  const child = fileURLToPath(new URL('../fixtures/to-stdout.js', import.meta.url));
  const run = (rest: string) =>
    execFileSync('sh', ['-c', `"$1" "$2" | ${rest}`, 'sh', process.execPath, child], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  t.equal(run('tcpdump -nr - 2>/dev/null').trim().split('\n').length, 2000);
  const place = join(directory(t), 'why');
  writeFileSync(place, '');
  execFileSync('sh', [
    '-c',
    '"$1" "$2" 2> "$3" | head -c 100 > /dev/null',
    'sh',
    process.execPath,
    child,
    place,
  ]);
  t.equal(readFileSync(place, 'utf8').trim(), 'EPIPE');
});

t.test('a pipe in the file system is written to, and stays one', async t => {
  const path = join(directory(t), 'pipe');
  execFileSync('mkfifo', [path]);
  const reading = spawn('cat', [path], { stdio: ['ignore', 'pipe', 'ignore'] });
  const chunks: Buffer[] = [];
  reading.stdout.on('data', chunk => chunks.push(chunk));
  const sink = await openSink({ path, format: format(), statistics });
  await sink.packet(packet(1));
  await sink.flush();
  await sink.close();
  await t.rejects(openSink({ path, format: format(), statistics, rotation: { seconds: 1 } }), {
    code: 'ECONFIG',
    message: /not a regular file/,
  });
  t.ok(statSync(path).isFIFO());
  await until('it came through', async () => {
    const { packets } = await readAll(Buffer.concat(chunks));
    return times(packets).join() === '1';
  });
  reading.kill();
});

t.test('a terminal is refused', async t => {
  const stream = Object.assign(new PassThrough(), { isTTY: true });
  t.throws(() => new StreamSink({ stream, format: format(), statistics }), /standard output is a terminal/);
});
