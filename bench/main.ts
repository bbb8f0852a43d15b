/* `npm run bench`: see docs/guides/benchmark/benchmarking.md. Tables on standard output, everything else on standard error. */
import { readFileSync, writeFileSync } from 'node:fs';
import { describeError, RipstopError } from '../src/base/errors.ts';
import { removeStale } from '../src/lab/namespace.ts';
import { requirePrograms } from '../src/lab/programs.ts';
import { cniSeconds, runCni } from './cni/run.ts';
import { CONTENDERS } from './contenders/index.ts';
import { Progress } from './demo/progress.ts';
import { planned } from './e2e/plan.ts';
import { boundSeconds, e2eSeconds, fitted, runE2e } from './e2e/run.ts';
import { microSeconds, pathSeconds, runMicro, runPath } from './in-process.ts';
import { busySeconds } from './lab/cpu.ts';
import { CONGESTION_CONTROL } from './lab/measure.ts';
import { type Charges, machine, measureCharges, versions } from './lab/versions.ts';
import { type BenchOptions, readOptions } from './options.ts';
import { publish } from './publish.ts';
import { formatComparison } from './report/compare.ts';
import { joined } from './report/join.ts';
import { formatMarkdown } from './report/markdown.ts';
import type { BenchFile, Missing, Sample } from './report/samples.ts';
import { formatRun } from './report/table.ts';
import { BURSTS, QUICK_BURSTS, runScale, scaleSeconds } from './scale/run.ts';
import { runSizing, sizingSeconds } from './sizing/run.ts';
import { runTraffic, trafficSeconds } from './sizing/traffic.ts';
import { runSoak, soakSeconds } from './soak/run.ts';

const tell = (line: string) => process.stderr.write(`${line}\n`);

async function measure(given: BenchOptions): Promise<BenchFile> {
  const options = fitted(given);
  const { suites, quick } = options;
  const wants = (suite: (typeof suites)[number]) => suites.includes(suite);
  const takesLab = suites.some(suite => suite !== 'micro' && suite !== 'path');
  if (takesLab && process.getuid?.() !== 0)
    throw new RipstopError(
      'EPRIV',
      'all suites but micro and path take root, for namespaces',
      'run it with sudo, or name micro and path',
    );
  if (takesLab) requirePrograms();
  removeStale();
  const length = quick
    ? { micro: 0.3, pathRounds: 1, path: 0.5, cni: 5, bursts: QUICK_BURSTS, idle: 2, takeovers: 1 }
    : { micro: 1, pathRounds: 5, path: 2, cni: 100, bursts: BURSTS, idle: 20, takeovers: 3 };
  const estimate =
    (wants('micro') ? microSeconds(length.micro) : 0) +
    (wants('path') ? pathSeconds(length.pathRounds, length.path) : 0) +
    (wants('scale') ? scaleSeconds(length) : 0) +
    (wants('sizing') ? sizingSeconds(quick) : 0) +
    (wants('traffic') ? trafficSeconds(quick) : 0) +
    (wants('cni') ? cniSeconds(length.cni) : 0) +
    (wants('e2e') ? e2eSeconds(options) : 0) +
    (wants('soak') ? soakSeconds(options.soak, options.stores) : 0);
  tell(`bench: ${suites.join(', ')}; about ${duration(estimate)}`);
  if (wants('e2e')) {
    tell(`bench: e2e ends after ${duration(boundSeconds(options))} at the latest`);
    if (options.seconds < given.seconds)
      tell(`bench: measurements of ${options.seconds} s instead of ${given.seconds} s, to fit --minutes`);
    for (const [id, reason] of absent(options)) tell(`bench: not measured here: ${id}: ${reason}`);
  }

  const busyBefore = await busyShare();
  if (busyBefore > BUSY)
    tell(`bench: ${Math.round(busyBefore * 100)} % of the cores are busy already: figures will be off`);
  const charges = chargesOfMachine();
  const began = new Date();
  const progress = new Progress(estimate);
  const samples: Sample[] = [];
  const missing: Missing[] = [];
  const add = (result: { samples: Sample[]; missing: Missing[] }) => {
    samples.push(...result.samples);
    missing.push(...result.missing);
  };
  if (wants('micro')) samples.push(...(await runMicro(length.micro, progress)));
  if (wants('path')) samples.push(...(await runPath(length.pathRounds, length.path, progress)));
  if (wants('scale')) add(await runScale(progress, length));
  if (wants('sizing')) add(await runSizing(quick, progress));
  if (wants('traffic')) add(await runTraffic(quick, progress));
  const cni = wants('cni') ? await runCni(length.cni, progress) : undefined;
  if (cni) add(cni);
  if (wants('e2e')) add(await runE2e(options, progress));
  if (wants('soak')) add(await runSoak(options.soak, options.stores, progress));
  progress.end();
  return {
    format: 'ripstop-bench/1',
    began: began.toISOString(),
    seconds: (Date.now() - began.getTime()) / 1000,
    versions: versions(),
    machine: { ...machine(), ...(charges && { charges }) },
    inner: options.inner,
    underlay: options.underlay,
    congestion: CONGESTION_CONTROL,
    busyBefore,
    labels: {
      ...Object.fromEntries(Object.entries(CONTENDERS).map(([id, { label }]) => [id, label])),
      ...cni?.labels,
    },
    sealed: Object.keys(CONTENDERS).filter(id => CONTENDERS[id]!.sealed),
    rivals: wants('e2e') ? rivalVersions(options) : {},
    samples,
    missing,
  };
}

/** Undefined where the machine is too busy to measure them: the figures are worth more than the words about them. */
function chargesOfMachine(): Charges | undefined {
  try {
    return measureCharges();
  } catch (error) {
    tell(`bench: the costs of this machine are not measured: ${describeError(error)}`);
    return undefined;
  }
}

/** Contenders that cannot run here, and why. */
function absent(options: BenchOptions): [id: string, reason: string][] {
  return planned(options).flatMap(id => {
    const reason = CONTENDERS[id]!.unavailable();
    return reason === undefined ? [] : [[id, reason] as [string, string]];
  });
}

/** Versions of the programs that are measured, by contender. */
function rivalVersions(options: BenchOptions): Record<string, string> {
  return Object.fromEntries(
    planned(options).flatMap(id => {
      const version = CONTENDERS[id]?.version?.();
      return version === undefined ? [] : [[id, version]];
    }),
  );
}

/** Above this share other programs use the machine. */
const BUSY = 0.1;
const LOOK_MS = 500;

/** Share of all cores that is busy while this process does nothing. */
async function busyShare(): Promise<number> {
  const before = busySeconds();
  await new Promise(resolve => setTimeout(resolve, LOOK_MS));
  return (busySeconds() - before) / ((LOOK_MS / 1000) * machine().cores);
}

function duration(seconds: number): string {
  if (seconds < 100) return `${Math.ceil(seconds)} seconds`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} minutes` : `${(seconds / 3600).toFixed(1)} hours`;
}

function readBench(path: string): BenchFile {
  let file: BenchFile;
  try {
    file = JSON.parse(readFileSync(path, 'utf8')) as BenchFile;
  } catch (error) {
    throw new RipstopError('ECONFIG', `${path} cannot be read as JSON: ${describeError(error)}`);
  }
  if (file?.format === 'ripstop-bench/1') return file;
  throw new RipstopError(
    'ECONFIG',
    `${path} is not a file of bench --json`,
    'its "format" would be "ripstop-bench/1"',
  );
}

async function main(): Promise<void> {
  const options = readOptions(process.argv.slice(2));
  if (options.compare) {
    const [before, after] = options.compare.map(readBench);
    process.stdout.write(formatComparison(before!, after!));
    return;
  }
  const earlier = options.with.map(readBench);
  const measured = options.from === undefined ? await measure(options) : readBench(options.from);
  const file = earlier.reduce(joined, measured);
  if (options.json) writeFileSync(options.json, `${JSON.stringify(file)}\n`);
  if (options.html) {
    // The plotting library is large: load it only for plots.
    const { formatHtml } = await import('./report/html.ts');
    writeFileSync(options.html, formatHtml(file));
  }
  if (options.docs) writeFileSync(options.docs, formatMarkdown(file));
  process.stdout.write(formatRun(file));
  if (options.publish) for (const path of publish(file)) tell(`bench: wrote ${path}`);
}

try {
  await main();
  process.exit(0);
} catch (error) {
  tell(`bench: ${describeError(error)}`);
  process.exit(1);
}
