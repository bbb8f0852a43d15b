import t from 'tap';
import { Pacer } from '../../../src/measure/send/pacer.ts';
import { seeded } from '../../fixtures/random.ts';

function send(pacer: Pacer, nowMs: number, cost: number): number {
  pacer.tick(nowMs);
  let packets = 0;
  for (; pacer.isDue && packets < 1e6; packets++) pacer.spend(cost);
  return packets;
}

t.test('over any time it grants the rate, to within one packet, however it is called', async t => {
  const random = seeded(t);
  for (const [perSecond, cost] of [
    [1000, 1],
    [333_333, 1],
    [10e6, 12_000],
    [1, 1],
  ] as const) {
    const pacer = new Pacer(perSecond, 50);
    let packets = send(pacer, 50, cost);
    t.equal(packets, 1, 'the first one at once');
    let now = 50;
    while (now < 20_050) {
      now += (random.below(1000) + 1) / 100;
      packets += send(pacer, now, cost);
    }
    const due = ((now - 50) / 1000) * (perSecond / cost);
    t.ok(packets >= Math.floor(due) && packets <= due + 1.001, `${packets} of ${due}`);
  }
});

t.test('the wait ends when the next packet is due', async t => {
  const pacer = new Pacer(100, 0);
  send(pacer, 0, 1);
  t.equal(pacer.waitMs, 10);
  t.equal(send(pacer, 9.999, 1), 0);
  t.equal(send(pacer, 10.001, 1), 1);
});

t.test('what a thread that did not run is behind by is made up for in part only', async t => {
  const pacer = new Pacer(1000, 0);
  send(pacer, 0, 1);
  t.equal(send(pacer, 5000, 1), 20);
});

t.test('unpaced, a packet is always due', async t => {
  const pacer = new Pacer(Number.POSITIVE_INFINITY, 0);
  pacer.tick(1);
  for (let i = 0; i < 1000; i++) pacer.spend(1);
  t.ok(pacer.isDue);
  t.equal(pacer.waitMs, 0);
});
