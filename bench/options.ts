import { Command, InvalidArgumentError, Option } from 'commander';
import { RipstopError } from '../src/base/errors.ts';
import { suggest } from '../src/base/suggest.ts';
import { CONTENDERS } from './contenders/index.ts';
import { MEASURES, type MeasureId } from './e2e/measures.ts';
import { CONDITIONS, type Condition, type Family } from './lab/topology.ts';

export const SUITES = ['micro', 'path', 'cni', 'e2e'] as const;
export type Suite = (typeof SUITES)[number];

export interface BenchOptions {
  suites: readonly Suite[];
  quick: boolean;
  json?: string;
  html?: string;
  docs?: string;
  readme?: string;
  from?: string;
  compare?: [string, string];
  contenders: readonly string[];
  conditions: readonly Condition[];
  measures: readonly MeasureId[];
  rounds: number;
  seconds: number;
  inner: Family;
  underlay: Family;
}

interface Raw
  extends Omit<BenchOptions, 'suites' | 'compare' | 'contenders' | 'rounds' | 'seconds' | 'conditions'> {
  compare?: string;
  contenders?: string[];
  conditions?: Condition[];
  rounds?: number;
  seconds?: number;
}

/** Who is measured when nobody is named: what explains the figures, within an hour. */
const USUAL = ['none', 'kernel', 'vxlan', 'udp', 'one-call', 'naive-node'];
const QUICK = {
  contenders: ['kernel', 'vxlan'],
  conditions: ['wirecs'] as Condition[],
  rounds: 2,
  seconds: 1,
};
const FULL = { contenders: USUAL, conditions: Object.keys(CONDITIONS) as Condition[], rounds: 5, seconds: 3 };

/** A reader for a list of words, each of which must be known. */
function words<T extends string>(known: readonly T[]): (text: string) => T[] {
  return text =>
    text === 'all'
      ? [...known]
      : text.split(',').map(word => {
          const found = known.find(candidate => candidate === word);
          if (found !== undefined) return found;
          const near = suggest(word, known);
          throw new InvalidArgumentError(
            `"${word}" is unknown; ${near ? `did you mean "${near}"?` : `known: ${known.join(', ')}`}`,
          );
        });
}

function count(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > 1000)
    throw new InvalidArgumentError('It takes 1..1000.');
  return value;
}

function family(text: string): Family {
  if (text !== '4' && text !== '6') throw new InvalidArgumentError('It takes 4 or 6.');
  return Number(text) as Family;
}

/** Reads the command line; on a mistake or for `--help` it prints and ends the process. */
export function readOptions(argv: readonly string[]): BenchOptions {
  const command = new Command('bench')
    .usage('[micro] [path] [e2e] [options]    (npm run bench -- ...)')
    .description(
      'Measures Ripstop and its rivals: micro (single operations), path (the forwarder alone), cni ' +
        '(wiring a pod), e2e (pod to pod, everyone in turn). Ends in a table; docs/benchmarking.md explains what is measured and how.',
    )
    .argument('[suites...]', `any of ${SUITES.join(', ')}; all when none is named`)
    .option(
      '--quick',
      'under two minutes: two rounds of a second, kernel VXLAN and Ripstop vxlan, one condition',
      false,
    )
    .option('--json <file>', 'write every sample to this file')
    .option('--html <file>', 'write a self-contained report with plots to this file')
    .option('--docs <file>', 'write the report as Markdown to this file (docs/benchmarks.md)')
    .option('--readme <file>', 'replace the table of figures in this file (README.md)')
    .option('--from <file>', 'measure nothing; write table and reports from this file of --json')
    .option('--compare <before>', 'compare two files of --json: --compare before.json after.json')
    .option(
      '--contenders <list>',
      'who is measured end to end, by commas, or "all"',
      words(Object.keys(CONTENDERS)),
    )
    .option(
      '--conditions <list>',
      'underlay conditions, by commas',
      words(Object.keys(CONDITIONS) as Condition[]),
    )
    .addOption(
      new Option('--measures <list>', 'what is measured end to end, by commas')
        .argParser(words(Object.keys(MEASURES) as MeasureId[]))
        .default(Object.keys(MEASURES), 'all'),
    )
    .option('--rounds <n>', 'rounds of each measurement', count)
    .option('--seconds <n>', 'length of the longest measurement', count)
    .option('--inner <family>', 'IP version between the pods, 4 or 6', family, 4)
    .option('--underlay <family>', 'IP version between the nodes, 4 or 6', family, 4)
    .helpOption('-h, --help', 'print this')
    .addHelpText('after', `\nContenders: ${Object.keys(CONTENDERS).join(' ')}`);
  command.parse(argv, { from: 'user' });
  const { compare, ...raw } = command.opts<Raw>();
  const given = command.args;
  if (compare !== undefined && given.length !== 1)
    throw new RipstopError('EUSAGE', '--compare takes two files', 'bench --compare before.json after.json');
  const base = raw.quick ? QUICK : FULL;
  return {
    ...base,
    ...raw,
    suites: compare === undefined && given.length > 0 ? given.map(readSuite) : SUITES,
    ...(compare === undefined ? {} : { compare: [compare, given[0]!] as [string, string] }),
  };
}

function readSuite(word: string): Suite {
  const found = SUITES.find(suite => suite === word);
  if (found !== undefined) return found;
  throw new RipstopError('EUSAGE', `no suite "${word}"`, `there are ${SUITES.join(', ')}`);
}
