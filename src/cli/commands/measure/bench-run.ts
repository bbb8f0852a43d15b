import { readFileSync, writeFileSync } from 'node:fs';
import { messageOf, RipstopError } from '../../../base/errors.ts';
import { readJson } from '../../../base/schema.ts';
import { formatAddress, requireAddress, unmapped } from '../../../ip/address.ts';
import { compareBench } from '../../../measure/bench/compare.ts';
import { benchCsv } from '../../../measure/bench/csv.ts';
import { benchHtml } from '../../../measure/bench/html.ts';
import { type BenchReport, benchField } from '../../../measure/bench/report.ts';
import { runBench } from '../../../measure/bench/run.ts';
import { SinkClient } from '../../../measure/control/client.ts';
import { DEFAULT_PORT } from '../../../measure/control/messages.ts';
import { pathMtuTo, requireFit } from '../../../measure/send/path-mtu.ts';
import { ETHERNET_MTU, sizeMin } from '../../../measure/send/sizes.ts';
import { resolveTarget, type Target } from '../../../measure/send/target.ts';
import { objectText } from '../../json/print.ts';
import type { OutputOptions } from '../../options.ts';
import { ProgressLine } from '../../terminal/progress.ts';
import { stopOnSignal } from '../../terminal/stop.ts';
import { benchText, comparisonText } from './bench-text.ts';

export interface BenchOptions extends OutputOptions {
  readonly size?: readonly number[];
  readonly repeats: number;
  readonly trial: number;
  readonly loss: number;
  readonly flows: number;
  readonly gso?: true;
  readonly tcp: boolean;
  readonly source?: string;
  readonly csv?: string;
  readonly html?: string;
  readonly compare?: readonly string[];
}

/** What is measured besides the largest packets when nothing is asked for. */
const SIZES = [46, 512];

/** Runs `ripstop bench`. @throws RipstopError */
export async function runBenchCommand(sink: string | undefined, options: BenchOptions): Promise<void> {
  if (options.compare) return printComparison(sink, options.compare, options);
  if (sink === undefined)
    throw new RipstopError('ECONFIG', 'no sink was given', 'name the host where `ripstop sink` runs');
  const report = await measure(sink, options);
  process.stdout.write(
    options.output ? await objectText(options.output, 'ripstop-bench-path/1', report) : benchText(report),
  );
  // Last: a file that cannot be written does not cost the figures.
  if (options.csv !== undefined) write(options.csv, benchCsv(report));
  if (options.html !== undefined) write(options.html, benchHtml(report));
}

async function measure(sink: string, options: BenchOptions): Promise<BenchReport> {
  const to = await resolveTarget(sink, DEFAULT_PORT);
  const stop = stopOnSignal();
  const line = new ProgressLine();
  const client = await SinkClient.connect(to, options.source);
  try {
    const plan = {
      ...{ to, repeats: options.repeats, trialMs: options.trial, flows: options.flows, hasTcp: options.tcp },
      source: formatAddress(unmapped(requireAddress(client.localAddress.replace(/%.*/, '')))),
      sizes: sizesFor(to, options.size),
      lossLimit: options.loss / 100,
      gso: options.gso ?? false,
    };
    const start = performance.now();
    return await runBench(client, plan, {
      signal: stop.signal,
      onProgress: (what, done) => line.show(`${what}${remaining(performance.now() - start, done)}`),
    });
  } finally {
    line.clear();
    client.close();
  }
}

/** @throws RipstopError ECONFIG when a size that was asked for does not fit the path */
function sizesFor(to: Target, asked: readonly number[] | undefined): number[] {
  const mtu = pathMtuTo(to);
  for (const size of asked ?? []) requireFit(size, mtu, to);
  const sizes = asked ?? [...SIZES, Math.min(ETHERNET_MTU, mtu)];
  return [...new Set(sizes.map(size => Math.max(size, sizeMin(to.family))))].sort((a, b) => a - b);
}

/** What is left, once enough is done to tell. */
function remaining(elapsedMs: number, done: number): string {
  if (done < 0.05) return '';
  return ` (about ${Math.ceil((elapsedMs * (1 - done)) / done / 1000)} s left)`;
}

function write(path: string, text: string): void {
  try {
    writeFileSync(path, text);
  } catch (error) {
    throw new RipstopError('ECONFIG', `${path}: ${messageOf(error)}`, 'give a file that can be written', {
      cause: error,
    });
  }
}

async function printComparison(
  sink: string | undefined,
  compare: readonly string[],
  { output }: OutputOptions,
): Promise<void> {
  // The option takes all that follows it; `after.json` may also have come as the argument.
  const files = sink === undefined ? compare : [...compare, sink];
  const [before, after] = files.map(readReport);
  if (!before || !after || files.length !== 2)
    throw new RipstopError(
      'ECONFIG',
      '--compare takes two files',
      'ripstop bench --compare before.json after.json',
    );
  const comparison = compareBench(before, after);
  process.stdout.write(
    output ? await objectText(output, 'ripstop-bench-comparison/1', comparison) : comparisonText(comparison),
  );
}

/** @throws RipstopError ECONFIG */
function readReport(path: string): BenchReport {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new RipstopError(
      'ECONFIG',
      `${path}: ${messageOf(error)}`,
      'give a file of `ripstop bench --json`',
      { cause: error },
    );
  }
  return readJson(benchField, text, path);
}
