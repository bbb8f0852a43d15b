import { readFileSync } from 'node:fs';
import t from 'tap';
import { throttleUnderLoad } from '../../../src/cli/commands/packets/capture-throttle.ts';

const some = (count: number, lost = 0) => Array.from({ length: count }, () => ({ lost: { all: lost } }));

/** What was asked of the scheduler, batch by batch, when batches come at these milliseconds. */
async function policies(
  batches: readonly (readonly [number, { lost: { all: number } }[]])[],
): Promise<number[][]> {
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
    schedule: policy => asked.at(-1)!.push(policy),
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
    'SCHED_IDLE after the first full window, SCHED_OTHER two seconds after the last load',
  );
  t.strictSame(
    await policies([
      [100, some(3, 1)],
      [5000, some(1, 40_000)],
      [5100, some(1)],
      [7000, some(1)],
    ]),
    [[5], [], [], [0]],
    'lost records are load, however few arrive',
  );
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
