export interface Summary {
  count: number;
  median: number;
  min: number;
  max: number;
}

/** Median and range; undefined of none. */
export function summarize(values: readonly number[]): Summary | undefined {
  if (values.length === 0) return undefined;
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const median =
    sorted.length % 2 === 1 ? (sorted[middle] ?? 0) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
  return { count: sorted.length, median, min: sorted[0] ?? 0, max: sorted.at(-1)! };
}

/** The value below which this share of the values lies (nearest rank). @param share 0..1 */
export function quantile(values: readonly number[], share: number): number | undefined {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)];
}

/**
 * Mann-Whitney U test, two-sided and exact: how often two samples of one population would differ in rank as much as
 * these do. Asks nothing of the distribution, which suits a handful of rounds on a shared machine. A tie counts half to each side.
 * @returns probability, 1 when either side is empty
 */
export function mannWhitney(a: readonly number[], b: readonly number[]): number {
  if (a.length === 0 || b.length === 0) return 1;
  let u = 0;
  for (const x of a) for (const y of b) u += x > y ? 1 : x === y ? 0.5 : 0;
  const extreme = Math.min(u, a.length * b.length - u);
  const ways = waysByU(a.length, b.length);
  const total = ways.reduce((sum, count) => sum + count, 0);
  const tail = ways.reduce((sum, count, index) => (index <= extreme ? sum + count : sum), 0);
  return Math.min(1, (2 * tail) / total);
}

/** Orders of m and n values in which the first sample wins exactly u of the m * n comparisons, by u. */
function waysByU(m: number, n: number): number[] {
  // Each order is a path: the largest value belongs to the first sample (it beats all n) or to the second.
  const memo = new Map<string, number[]>();
  const ways = (i: number, j: number): number[] => {
    if (i === 0 || j === 0) return [1];
    const key = `${i},${j}`;
    let result = memo.get(key);
    if (result === undefined) {
      result = new Array<number>(i * j + 1).fill(0);
      for (const [u, count] of ways(i - 1, j).entries()) result[u + j] = (result[u + j] ?? 0) + count;
      for (const [u, count] of ways(i, j - 1).entries()) result[u] = (result[u] ?? 0) + count;
      memo.set(key, result);
    }
    return result;
  };
  return ways(m, n);
}
