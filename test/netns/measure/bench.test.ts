import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { readOutput } from '../../fixtures/json-output.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';
import { blast, ripstop, sinkFor } from './measured.ts';
import { pairFor } from './pair.ts';

/* Rates of a link whose rate is known: a token bucket of the kernel. */

const skip = skipUnless('root', 'netns', 'ip', 'tc');
/** So slow that the queue before the link bridges the pauses of a busy machine: 60000 bytes are 240 ms. */
const RATE = 2e6;
const BYTES = 1000;
/** The token bucket counts the Ethernet header as well. */
const PACKETS = RATE / 8 / (BYTES + 14);
const SHAPE = `qdisc add dev eth0 root tbf rate ${RATE} burst 3000 limit 60000`.split(' ');

const isNear = (value: number | undefined) => value !== undefined && Math.abs(value / PACKETS - 1) < 0.02;
const isAbove = (value: number) => value / PACKETS - 1 > 0.02;

t.test(
  'the search finds the rate of the link within 2 per cent, and TCP stays below its limit',
  { skip },
  async t => {
    const [one, two] = pairFor(t);
    one.must(['tc', ...SHAPE]);
    await sinkFor(t, two);
    const html = join(t.testdir(), 'report.html');
    const csv = join(t.testdir(), 'report.csv');
    const bench = async (...more: string[]) => {
      const args = ['--size', String(BYTES), '--repeats', '1', '--trial', '2s', ...more];
      const run = ripstop(one, 'bench', '10.9.0.2', '--json', ...args);
      const report = readOutput('ripstop-bench-path/1', await run.success());
      const value = (figure: string) => report.samples.find(sample => sample.figure === figure)?.value;
      return { report, value };
    };
    const { report, value } = await bench('--html', html, '--csv', csv);
    const found = [value('throughput')!];
    // A trial during which a busy machine pauses the sender or the sink fails below the rate of the link: it is searched again.
    while (!found.some(isNear) && found.length < 5)
      found.push((await bench('--no-tcp')).value('throughput')!);
    t.ok(found.some(isNear), `${found} of ${PACKETS} packets/s`);
    t.same(found.filter(isAbove), [], 'never more than the link carries');
    t.ok(
      value('tcpShare')! > 50 && value('tcpShare')! <= 102,
      `TCP has ${value('tcpShare')} % of what the path allows`,
    );
    t.ok(value('rttLoaded50')! > value('rttIdle')!, 'the queue of the link adds to round trips');
    // A queue of 60000 bytes and a bucket of 3000 hold so many packets; while they are sent, some more leave.
    t.ok(value('burst')! >= 50, `bursts of ${value('burst')} pass`);
    t.ok(
      report.curve.some(({ lossPercent }) => lossPercent > 10) &&
        report.curve.some(({ lossPercent }) => lossPercent === 0),
    );
    t.match(readFileSync(html, 'utf8'), /<svg/);
    t.match(readFileSync(csv, 'utf8'), /^size,figure/);
  },
);

t.test(
  'what arrives of too much is the rate of the link, as iperf3 finds',
  { skip: skip || skipUnless('iperf3') },
  async t => {
    const [one, two] = pairFor(t);
    one.must(['tc', ...SHAPE]);
    await sinkFor(t, two);
    const { received } = await blast(
      one,
      '10.9.0.2',
      '--rate',
      '30mbit',
      '--size',
      String(BYTES),
      '--for',
      '5s',
    );
    t.ok(isNear(received?.packetsPerSecond), `${received?.packetsPerSecond} of ${PACKETS} packets/s`);
    const server = two.launch(['iperf3', '-s', '-1', '--forceflush']);
    await server.saying(/listening/);
    const client = one.launch([
      'iperf3',
      '-c',
      '10.9.0.2',
      '-u',
      '-l',
      String(BYTES - 28),
      '-b',
      '30M',
      '-t',
      '5',
      '-J',
    ]);
    const { end } = JSON.parse(await client.success());
    const { packets, lost_packets, seconds } = end.sum;
    const theirs = (packets - lost_packets) / seconds;
    t.ok(isNear(theirs), `iperf3: ${theirs} of ${PACKETS} packets/s`);
    t.ok(Math.abs(received!.packetsPerSecond / theirs - 1) < 0.03, 'both agree');
  },
);

t.test('a comparison of files, and files of other content', { skip }, async t => {
  const folder = t.testdir({ 'bad.json': '{"peer": 1}', 'no.json': 'x' });
  for (const [files, why] of [
    [['bad.json', 'bad.json'], /bad\.json\.peer/],
    [['no.json', 'no.json'], /is not JSON/],
    [['none.json', 'none.json'], /none\.json: ENOENT/],
    [['bad.json'], /takes two files|bad\.json\.peer/],
  ] as const) {
    const run = ripstop(undefined, 'bench', '--compare', ...files.map(file => join(folder, file)));
    t.equal((await run.ended).code, 2);
    t.match(run.stderr, why);
  }
});
