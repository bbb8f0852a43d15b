import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { ByteQueue } from '../../src/capture/format/byte-queue.ts';
import { LINK_ETHERNET, type Packet } from '../../src/capture/format/packet.ts';
import { PcapFormat } from '../../src/capture/format/pcap/writer.ts';
import { PcapngFormat } from '../../src/capture/format/pcapng/writer.ts';
import { fuzzSeconds, type Random, seeded } from '../fixtures/random.ts';
import { NO_STATISTICS, readAll } from '../unit/capture/fixtures/files.ts';
import { keepInput, replayed, SEED } from './campaign/campaign.ts';
import { mutate } from './campaign/mutate.ts';

/*
 * The capture readers on broken files, and the writers on whatever fits their types. A reader ends: with packets, or with
 * an error that names a place. It never hangs, never throws anything else, never holds more than the file and a block.
 */

const SECONDS = fuzzSeconds(4);
const SEEDS = fileURLToPath(new URL('../../../test/fuzz/capture-seeds/', import.meta.url));
const seeds = readdirSync(SEEDS)
  .sort()
  .map(name => ({ name, bytes: new Uint8Array(readFileSync(SEEDS + name)) }));

t.test('the seeds themselves are read to their end', async t => {
  t.ok(seeds.length >= 8);
  for (const { name, bytes } of seeds) {
    const { packets, error } = await readAll(bytes);
    t.equal(error, undefined, name);
    t.ok(packets.length > 0, `${name}: ${packets.length} packets`);
  }
});

t.test('a kept file', async t => {
  const bytes = replayed('file');
  if (!(bytes instanceof Uint8Array)) return void t.pass('there is none');
  const { error } = await readAll(Uint8Array.from(bytes));
  if (error) t.match(error, { code: 'ECAPTURE', message: /^test: at byte \d+: / });
  t.pass();
});

t.test('mutated files', async t => {
  const random = seeded(t, SEED);
  const until = performance.now() + SECONDS * 1000;
  let rounds = 0;
  let broken = 0;
  while (performance.now() < until || rounds <= 50 || broken === 0) {
    const { name, bytes } = random.pick(seeds);
    const file = mutate(random, bytes);
    const { packets, error } = await readAll(file, random.pick([1, 13, 512, file.length || 1]));
    const fault = error as { code?: string; message: string; stack?: string } | undefined;
    if (fault && (fault.code !== 'ECAPTURE' || !/^test: at byte \d+: /.test(fault.message)))
      t.fail(`${name}, round ${rounds}: ${fault.stack}; ${keepInput('file', file)}`);
    if (packets.some(packet => packet.bytes.length > packet.length || packet.bytes.length > file.length))
      t.fail(`${name}, round ${rounds}: more bytes than there are; ${keepInput('file', file)}`);
    if (fault) broken++;
    rounds++;
  }
  t.pass(`${rounds} files, ${broken} of them broken`);
});

t.test('mutated files in one chunk and byte by byte read the same', async t => {
  const random = seeded(t, 78);
  for (let round = 0; round < 150; round++) {
    const file = mutate(random, random.pick(seeds).bytes);
    const [whole, single] = [await readAll(file), await readAll(file, 1)];
    if (whole.error?.message !== single.error?.message || whole.packets.length !== single.packets.length)
      t.fail(
        `round ${round}: ${whole.error?.message} / ${single.error?.message}; ${keepInput('file', file)}`,
      );
  }
  t.pass('150 files');
});

function anyText(random: Random): string {
  const kinds = ['', 'x', '\0', '"', '\n', 'é✓𝄞', '\ud800', 'a'.repeat(70_000), '𝄞'.repeat(2000)];
  return random.pick(kinds) + random.pick(kinds);
}

t.test('the writers: any packet comes back as it was, or as much of it as the format holds', async t => {
  const random = seeded(t, SEED);
  const until = performance.now() + 2000;
  let rounds = 0;
  while (performance.now() < until || rounds <= 20) {
    const interfaces = Array.from({ length: random.between(1, 5) }, () => ({
      link: random.between(0, 65535),
      snapLength: random.uint32(),
      ...(random.chance(0.5) ? { name: anyText(random) } : {}),
      ...(random.chance(0.3) ? { filter: anyText(random) } : {}),
    }));
    const packets: Packet[] = Array.from({ length: random.between(0, 8) }, () => {
      const bytes = random.bytes(random.pick([0, 1, 2, 3, 4, 5, 60, 1500]));
      return {
        interface: random.between(0, interfaces.length - 1),
        time: BigInt(random.uint32()) * BigInt(random.uint32()),
        bytes,
        length: bytes.length + random.between(0, 9),
        ...(random.chance(0.3) ? { comments: [anyText(random), anyText(random)] } : {}),
        ...(random.chance(0.3) ? { direction: random.pick(['in', 'out'] as const) } : {}),
        ...(random.chance(0.3) ? { dropped: BigInt(random.uint32()) ** 2n } : {}),
      };
    });
    const out = new ByteQueue(16);
    const format = new PcapngFormat(interfaces, {
      application: anyText(random),
      comments: [anyText(random)],
    });
    format.begin(out);
    for (const packet of packets) format.packet(out, packet);
    format.end(
      out,
      interfaces.map(() => ({ ...NO_STATISTICS, received: BigInt(random.uint32()) })),
    );
    const read = await readAll(out.take());
    const bare = ({ comments: _, ...packet }: Packet) => packet;
    if (read.error) t.fail(`round ${rounds}: ${read.error.message}`);
    t.strictSame(read.packets.map(bare), packets.map(bare));
    for (const [i, { comments }] of packets.entries())
      if (comments?.length !== read.packets[i]!.comments?.length)
        t.fail(`round ${rounds}: comments of packet ${i}`);

    const classic = new PcapFormat(LINK_ETHERNET, 0);
    classic.begin(out);
    for (const packet of packets) classic.packet(out, packet);
    const again = await readAll(out.take());
    t.strictSame(
      again.packets.map(({ bytes, length }) => [bytes, length]),
      packets.map(({ bytes, length }) => [bytes, length]),
    );
    rounds++;
  }
  t.ok(rounds > 20, `${rounds} captures`);
});

t.test('a block or record that claims more than there is does not take memory for it', async t => {
  const claim = new Uint8Array(4096);
  const view = new DataView(claim.buffer);
  for (const [at, value] of [
    [0, 0xa1b2c3d4],
    [16, 65535],
    [20, 1],
    [32, 262_144],
    [36, 262_144],
  ] as const)
    view.setUint32(at, value, true);
  view.setUint16(4, 2, true);
  view.setUint16(6, 4, true);
  const before = process.memoryUsage().arrayBuffers;
  for (let i = 0; i < 200; i++) await readAll(claim);
  const grown = process.memoryUsage().arrayBuffers - before;
  t.ok(grown < 64 << 20, `${grown} bytes more`);
});
