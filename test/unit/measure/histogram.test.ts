import t from 'tap';
import { cellOf, HISTOGRAM_ERROR, Histogram } from '../../../src/measure/figures/histogram.ts';
import { seeded } from '../../fixtures/random.ts';

const SHARES = [0, 0.01, 0.5, 0.9, 0.99, 0.999, 0.9999, 1];

t.test('percentiles, compared with the sorted values, are within the stated error', async t => {
  const random = seeded(t);
  for (const bits of [3, 8, 20, 31, 40, 47]) {
    const histogram = new Histogram();
    const values = Array.from({ length: 5000 }, () => Math.floor(2 ** ((random.uint32() / 2 ** 32) * bits)));
    for (const value of values) histogram.add(value);
    t.equal(histogram.mean, values.reduce((a, b) => a + b) / values.length);
    values.sort((a, b) => a - b);
    for (const share of SHARES) {
      const exact = values[Math.max(0, Math.ceil(share * values.length) - 1)]!;
      const difference = Math.abs(histogram.quantile(share) - exact);
      t.ok(difference <= exact * HISTOGRAM_ERROR, `${bits} bits, ${share}: ${exact} to within ${difference}`);
    }
    t.equal(histogram.min, values[0]);
    t.equal(histogram.max, values.at(-1));
  }
});

t.test('cells follow each other without a gap', async t => {
  for (let value = 0; value < 100_000; value++) {
    const step = cellOf(value + 1) - cellOf(value);
    if (step !== 0 && step !== 1) t.fail(`from ${value} to ${value + 1}: ${step}`);
  }
  for (let bit = 8; bit < 48; bit++) t.equal(cellOf(2 ** bit) - cellOf(2 ** bit - 1), 1, `2^${bit}`);
});

t.test('it travels as its cells; an empty one has no percentile', async t => {
  const histogram = new Histogram();
  for (const value of [5, 5, 1000, 2 ** 40, -3, 2 ** 60]) histogram.add(value);
  const copy = Histogram.from(JSON.parse(JSON.stringify(histogram.cells)));
  t.same(copy.cells, histogram.cells);
  t.equal(copy.count, 6);
  t.equal(copy.min, 0);
  t.equal(copy.max, 2 ** 48 - 1);
  t.equal(new Histogram().quantile(0.5), 0);
  t.same(Histogram.from(new Histogram().cells).cells, { cells: [], min: 0, max: 0, sum: 0 });
  t.equal(
    Histogram.from({ cells: [2 ** 31, 7], min: 0, max: 0, sum: 0 }).count,
    0,
    'a cell that does not exist',
  );
});
