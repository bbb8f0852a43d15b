/*
 * One suite of micro benchmarks in a process of its own, so that what V8 learned in one does not colour the next:
 *   node dist/bench/micro/main.js SUITE SECONDS      prints one JSON line a case
 */
import { createRequire } from 'node:module';
import { checksums, headers, nativeCalls } from './bytes.ts';
import type { Case } from './case.ts';
import { lookups } from './lookup.ts';

/** The part of the `benchmark` package that is used; it brings no types. */
interface Benchmark {
  run(): Benchmark;
  error?: unknown;
  stats: { sample: number[] };
}
type BenchmarkClass = new (name: string, fn: () => void, options: Record<string, unknown>) => Benchmark;

/** What one case gave: a value a sample, nanoseconds per operation. */
export interface MicroResult {
  name: string;
  size: string;
  nsPerOp: number[];
}

export const SUITES: Readonly<Record<string, () => Case[]>> = { lookups, headers, checksums, nativeCalls };

let sink = 0;

function measure({ name, size, operations, run }: Case, seconds: number): MicroResult {
  const Benchmark = createRequire(import.meta.url)('benchmark') as BenchmarkClass;
  const benchmark = new Benchmark(
    name,
    () => {
      sink = (sink + run()) | 0;
    },
    { maxTime: seconds, minSamples: 5 },
  ).run();
  if (benchmark.error) throw benchmark.error;
  return { name, size, nsPerOp: benchmark.stats.sample.map(s => (s * 1e9) / operations) };
}

const [suite = '', seconds = '1'] = process.argv.slice(2);
const cases = SUITES[suite];
if (cases === undefined) {
  process.stderr.write(`no suite "${suite}"; there are ${Object.keys(SUITES).join(', ')}\n`);
  process.exit(2);
}
for (const one of cases()) process.stdout.write(`${JSON.stringify(measure(one, Number(seconds)))}\n`);
if (Number.isNaN(sink)) process.exit(1);
