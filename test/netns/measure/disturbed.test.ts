import t, { type Test } from 'tap';
import { HISTOGRAM_ERROR } from '../../../src/measure/figures/histogram.ts';
import { quantile } from '../../../src/measure/figures/statistics.ts';
import { type Disturbance, Disturber } from './disturber.ts';
import { blast, sinkFor } from './measured.ts';

/* What a node in the middle does to packets, and what is reported. It is made by the test, over loopback. */

const PACKETS = 4000;
const RATE = ['--rate', '1000pps', '--size', '200', '--packets', String(PACKETS), '--for', '5m'];

function rule(sequence: number): Disturbance {
  if (sequence % 100 === 7) return 'lose';
  if (sequence % 100 === 13) return 'repeat';
  if (sequence % 50 === 20) return 'hold';
  return 'pass';
}

async function disturberFor(t: Test, delayMs: number, how: (sequence: number) => Disturbance) {
  const { port } = await sinkFor(t, undefined);
  const disturber = await Disturber.open(port, how, delayMs);
  t.teardown(() => disturber.close());
  return disturber;
}

t.test('losses, duplicates and reordering are reported exactly', async t => {
  const disturber = await disturberFor(t, 0, rule);
  const { sent, received } = await blast(undefined, `127.0.0.1:${disturber.port}`, ...RATE);
  const { lost, repeated, held, passed } = disturber.disturbed;
  t.ok(lost >= 35 && repeated >= 35 && held >= 70, `${lost} lost, ${repeated} repeated, ${held} held back`);
  t.equal(sent.packets, PACKETS);
  t.equal(received?.packets, passed + held, 'the disturber sent each of these once or twice');
  t.equal(received?.lost, PACKETS - passed - held);
  t.equal(received?.duplicates, repeated);
  t.equal(received?.reordered, held);
  t.equal(received?.droppedBySink, 0);
});

t.test('a delay is reported, one way and as part of round trips', async t => {
  const delayMs = 30;
  const disturber = await disturberFor(t, delayMs, () => 'delay');
  const { received, roundTrip } = await blast(undefined, `127.0.0.1:${disturber.port}`, ...RATE);
  const { delays } = disturber.disturbed;
  const oneWay = received?.oneWay;
  t.equal(oneWay?.clock, 'same');
  t.equal(received?.packets, delays.length);
  // What was on its way for a known time was on its way for no less. How much more is the machine's affair.
  for (const [share, reported] of [
    [0.5, oneWay?.latency.p50Us],
    [0.9, oneWay?.latency.p90Us],
    [0.99, oneWay?.latency.p99Us],
    [1, oneWay?.latency.maxUs],
  ] as const) {
    const known = quantile(delays, share)! * 1000;
    const lowest = known * (1 - HISTOGRAM_ERROR) - oneWay!.errorUs;
    t.ok(reported! >= lowest, `${share}: ${reported} us of ${known}`);
  }
  t.ok(
    roundTrip!.minUs >= Math.min(...delays) * 1000 - oneWay!.errorUs,
    'round trips have the delay in them',
  );
});
