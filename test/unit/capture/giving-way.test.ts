import t from 'tap';
import { givingWay } from '../../../src/cli/giving-way.ts';

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
  const stream = givingWay(
    timed(),
    policy => asked.at(-1)!.push(policy),
    () => at,
  );
  for await (const batch of stream) passed += batch.length;
  t.equal(
    passed,
    batches.reduce((sum, [, batch]) => sum + batch.length, 0),
  );
  return asked;
}

t.test('a capture gives way while it is a flood', async t => {
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

t.test('the threads of this process take the policy', async () => {
  const stream = givingWay(
    (async function* () {
      yield some(1, 1);
    })(),
    undefined,
    (() => {
      let at = 0;
      return () => (at += 200);
    })(),
  );
  for await (const _ of stream) {
    const stat = await import('node:fs').then(fs => fs.readFileSync('/proc/self/stat', 'utf8'));
    // proc(5): policy is the 41st field, the second one ends with the only closing bracket and a blank.
    t.equal(stat.slice(stat.lastIndexOf(') ') + 2).split(' ')[38], '5');
  }
});
