import t from 'tap';
import { ProbeWindow, WINDOW } from '../../../../src/agent/probe/probe-window.ts';

t.test('loss and round trip of the last probes', async t => {
  const way = new ProbeWindow();
  t.same(way.health, { probes: 0, lost: 0, rttMs: null });
  way.add(undefined);
  way.add(undefined);
  t.same([way.health, way.lostInARow], [{ probes: 2, lost: 2, rttMs: null }, 2]);
  for (const rtt of [10, 1, 2]) way.add(rtt);
  t.same([way.health, way.lostInARow], [{ probes: 5, lost: 2, rttMs: 2 }, 0], 'the median, not the last');
  for (let i = 0; i < WINDOW; i++) way.add(5);
  t.same(way.health, { probes: WINDOW, lost: 0, rttMs: 5 }, 'what is long ago does not count');
  way.add(undefined);
  t.same(way.health, { probes: WINDOW, lost: 1, rttMs: 5 });
});
