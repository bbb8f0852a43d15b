import t from 'tap';
import { HeartbeatMonitor, heartbeatResponder, maxLag } from '../../../src/dataplane/threads/heartbeat.ts';

/** What the eventfd is between the threads. */
function bell(): [wake: () => void, isWoken: () => boolean] {
  let rung = 0;
  const take = () => {
    const was = rung > 0;
    rung = 0;
    return was;
  };
  return [() => void rung++, take];
}

t.test('a question is answered once, when its eventfd has fired', async t => {
  let now = 1000;
  const meter = new HeartbeatMonitor(() => now);
  const [wake, isWoken] = bell();
  t.same(meter.lag, { lastMs: 0, maxMs: 0 });
  const answer = heartbeatResponder(meter.memory, isWoken);
  answer();
  t.equal(isWoken(), false, 'nothing was asked');

  meter.ask(wake);
  now += 3000;
  t.same(meter.lag, { lastMs: 3000, maxMs: 3000 }, 'a worker that does not answer lags more and more');
  meter.ask(wake);
  now += 9000;
  t.same(meter.lag, { lastMs: 12_000, maxMs: 12_000 }, 'the first question stays open');
  answer();
  t.equal(isWoken(), false, 'cleared: no wait ends at once any more');
  t.same(meter.lag, { lastMs: 0, maxMs: 0 }, 'the answer counts when the next question is asked');
});

t.test('the last answer and the longest of the last minute', async t => {
  const [wake, isWoken] = bell();
  let now = 1000;
  const meter = new HeartbeatMonitor(() => now);
  const answer = heartbeatResponder(meter.memory, isWoken, () => now);
  const ask = (ms: number) => {
    meter.ask(wake);
    now += ms;
    answer();
  };
  ask(30);
  ask(2);
  meter.ask(wake);
  answer();
  t.same(meter.lag, { lastMs: 2, maxMs: 30 });
  for (let i = 0; i < 60; i++) ask(1);
  t.same(meter.lag, { lastMs: 1, maxMs: 1 }, 'an answer of more than 60 questions ago is forgotten');
  t.same(
    maxLag([
      { lastMs: 1, maxMs: 5 },
      { lastMs: 2, maxMs: 3 },
    ]),
    { lastMs: 2, maxMs: 5 },
  );
});
