import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import {
  type Scheduler,
  SYSTEM_SCHEDULER,
  throttleUnderLoad,
} from '../../../src/cli/commands/packets/capture-throttle.ts';

const some = (count: number, lost = 0) => Array.from({ length: count }, () => ({ lost }));

/** What was asked of the scheduler, batch by batch, when batches come at these milliseconds. */
async function policies(batches: readonly (readonly [number, { lost: number }[]])[]): Promise<number[][]> {
  const asked: number[][] = [];
  let at = 0;
  async function* timed() {
    for (const [ms, batch] of batches) {
      at = ms;
      asked.push([]);
      yield batch;
    }
  }
  let passed = 0;
  const stream = throttleUnderLoad(timed(), {
    now: () => at,
    idleMs: () => at,
    schedule: policy => asked.at(-1)!.push(policy),
    pause: async () => t.fail('there is a core to spare'),
  });
  for await (const batch of stream) passed += batch.length;
  t.equal(
    passed,
    batches.reduce((sum, [, batch]) => sum + batch.length, 0),
  );
  return asked;
}

t.test('a capture runs at idle priority under load', async t => {
  t.strictSame(
    await policies([
      [50, some(10)],
      [200, some(10)],
      [900, some(500)],
    ]),
    [[], [], []],
    'a trickle',
  );
  t.strictSame(
    await policies([
      [50, some(1500)],
      [100, some(1500)],
      [200, some(2500)],
      [300, some(100)],
      [2100, some(100)],
      [2200, some(100)],
    ]),
    [[], [5], [], [], [], [0]],
    'idle from the end of the first term, usual again two seconds after the last flood',
  );
  t.strictSame(
    await policies([
      [100, some(3, 1)],
      [5000, some(1, 40_000)],
      [5100, some(1)],
      [7000, some(1)],
    ]),
    [[5], [], [], [0]],
    'who loses is in a flood, however little it reads',
  );
});

t.test('a capture pauses nine tenths of its time, only under load without an idle core', async t => {
  /** Rests after each batch of a tenth of a second; passing one on takes `takesMs`. */
  const rests = async (count: number, idleCores: number, takesMs = 2) => {
    const taken: number[] = [];
    let at = 0;
    let idle = 0;
    const scheduler: Scheduler = {
      now: () => at,
      idleMs: () => idle,
      schedule: () => {},
      pause: async ms => taken.push(ms),
    };
    async function* timed() {
      for (let batch = 0; batch < 3; batch++) {
        at += 100;
        idle += 100 * idleCores;
        yield some(count);
      }
    }
    for await (const _ of throttleUnderLoad(timed(), scheduler)) at += takesMs;
    return taken;
  };
  t.strictSame(await rests(5000, 0.1), [18, 18, 18]);
  t.strictSame(await rests(50_000, 0, 500), [100, 100, 100], 'a pager that was left alone');
  t.strictSame(await rests(5000, 1), [], 'a core to spare');
  t.strictSame(await rests(100, 0), [], 'no flood');
});

t.test('time without work is read from this machine', async t => {
  const { idleMs, now } = SYSTEM_SCHEDULER;
  const began = now();
  const idle = idleMs();
  t.ok(idle > 0);
  while (now() - began < 300) await sleep(20);
  const [more, elapsed] = [idleMs() - idle, now() - began];
  // Ticks of 10 ms, one to each side and core.
  t.ok(more <= (elapsed + 20) * cpus().length, `${more} of ${elapsed} ms`);
});

t.test('the threads of this process take the policy', async t => {
  let passed = 0;
  const stream = throttleUnderLoad(
    (async function* () {
      for (let batch = 0; batch < 3; batch++) {
        const began = performance.now();
        while (performance.now() - began < 120); // a term
        yield some(1, 1);
      }
    })(),
  );
  for await (const _ of stream) {
    const stat = readFileSync('/proc/self/stat', 'utf8');
    // proc(5): policy is the 41st field, the second one ends with the only closing bracket and a blank.
    t.equal(stat.slice(stat.lastIndexOf(') ') + 2).split(' ')[38], '5');
    passed++;
  }
  t.equal(passed, 3);
});
