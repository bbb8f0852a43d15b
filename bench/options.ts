import { Command, InvalidArgumentError } from 'commander';
import type { Family } from '../encap/encap.ts';
import { RipstopError } from '../src/base/errors.ts';
import { suggest } from '../src/base/suggest.ts';
import { CONDITIONS, type LabCondition } from '../src/lab/topology.ts';
import { CONTENDERS } from './contenders/index.ts';
import { MEASURES, type MeasureId } from './e2e/measures.ts';
import { BRIEF } from './e2e/plan.ts';
import { STORES, type StoreKind } from './soak/churn/stores.ts';

export const SUITES = ['micro', 'path', 'scale', 'sizing', 'traffic', 'cni', 'e2e', 'soak'] as const;
export type Suite = (typeof SUITES)[number];

export interface BenchOptions {
  suites: readonly Suite[];
  quick: boolean;
  headline: boolean;
  json?: string;
  html?: string;
  docs?: string;
  /** Write the report to bench/results, and the figures of the README from it. */
  publish: boolean;
  from?: string;
  /** Files of earlier runs whose suites stand in for those that this run does not measure. */
  with: readonly string[];
  compare?: [string, string];
  contenders: readonly string[];
  brief: readonly string[];
  conditions: readonly LabCondition[];
  measures: readonly MeasureId[] | undefined;
  /** Measures that are left out when none is named. */
  without: readonly MeasureId[];
  rounds: number;
  seconds: number;
  /** Bound of the end-to-end suite, minutes. */
  minutes: number | undefined;
  inner: Family;
  underlay: Family;
  /** Length of each part of the soak, s. */
  soak: number;
  /** Lease stores of the agents in the soak. */
  stores: readonly StoreKind[];
}

interface Raw
  extends Partial<Omit<BenchOptions, 'suites' | 'compare' | 'quick' | 'headline' | 'with' | 'publish'>> {
  quick: boolean;
  headline: boolean;
  publish: boolean;
  with: string[];
  compare?: string;
  inner: Family;
  underlay: Family;
}

/** How much is measured when nothing is said. */
interface Preset extends Pick<BenchOptions, 'contenders' | 'brief' | 'conditions' | 'rounds' | 'seconds'> {
  soak: number;
  stores: readonly StoreKind[];
  without?: readonly MeasureId[];
  minutes?: number;
}

/** What explains the figures, and what the goals compare with. */
const FULL: Preset = {
  contenders: ['none', 'kernel', 'vxlan', 'udp'],
  brief: [
    ...['no-remoteChecksum', 'capture', 'no-recorder', 'recorder', 'audit', 'no-audit'],
    ...['one-call', 'naive-node', 'vde', 'fastd', 'wireguard-go', 'nebula'],
  ],
  // The commonest card first: it is the headline. The others are bounds, each of which may flatter one side.
  conditions: ['nic', 'wirecs', 'def', 'wiregro', 'wire'],
  rounds: 5,
  seconds: 2,
  soak: 3600,
  stores: ['file'],
};
/** What the README shows and what goals compare, of e2e, within 25 minutes. */
const HEADLINE: Preset = {
  ...FULL,
  contenders: ['kernel', 'vxlan', 'udp'],
  brief: ['one-call', 'naive-node', 'vde', 'fastd', 'wireguard-go', 'nebula'],
  conditions: ['nic', 'wirecs', 'def'],
  without: [
    ...(['tcp1back', 'tcp4back', 'tcp1node', 'tcp4node', 'udp64x8', 'udp1400x1', 'udp1400x8'] as const),
    ...(['countTrips', 'countPackets', 'countBulk'] as const),
  ],
  minutes: 25,
};
const QUICK: Preset = {
  contenders: ['kernel', 'vxlan'],
  brief: [],
  conditions: ['nic'],
  without: ['tcp1back', 'tcp4back', 'tcp1node', 'tcp4node', 'udp1400x1', 'udp1400x8', 'paced'],
  rounds: 2,
  seconds: 1,
  soak: 6,
  stores: ['file'],
};

/** A week, s. */
const LONGEST_SOAK = 604_800;

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

const list = (file: string, before: string[]) => [...before, file];

function count(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > 1000)
    throw new InvalidArgumentError('It takes 1..1000.');
  return value;
}

function soakLength(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > LONGEST_SOAK)
    throw new InvalidArgumentError(`It takes 1..${LONGEST_SOAK}.`);
  return value;
}

function family(text: string): Family {
  if (text !== '4' && text !== '6') throw new InvalidArgumentError('It takes 4 or 6.');
  return Number(text) as Family;
}

/** Reads the command line; on a mistake or for `--help` it prints and ends the process. */
export function readOptions(argv: readonly string[]): BenchOptions {
  const command = new Command('bench')
    .usage('[suites] [options]    (npm run bench -- ...)')
    .description(
      'Measures Ripstop and its rivals: micro (single operations), path (the forwarder alone), scale (thousands of peers), sizing (memory and CPU of an agent by nodes), traffic (its CPU by what it carries), cni ' +
        '(wiring a pod), e2e (pod to pod, everyone in turn), soak (garbage collections under long traffic, and whether an agent grows while everything around it changes). ' +
        'Ends in a table; docs/guides/benchmark/benchmarking.md explains what is measured and how.',
    )
    .argument('[suites...]', `any of ${SUITES.join(', ')}; all when none is named`)
    .option(
      '--quick',
      'under two minutes: two rounds of a second, kernel VXLAN and Ripstop vxlan, one condition',
      false,
    )
    .option(
      '--headline',
      'e2e within 25 minutes: five rounds in nic, wirecs and def, of Ripstop, kernel VXLAN and rivals, in the measures that goals compare',
      false,
    )
    .option('--json <file>', 'write every sample to this file')
    .option('--html <file>', 'write a self-contained report with plots to this file')
    .option('--docs <file>', 'write the report as Markdown to this file')
    .option(
      '--publish',
      'write the report to bench/results/benchmarks.md and the figures of README.md from it; a former report of another machine is kept next to it',
      false,
    )
    .option('--from <file>', 'measure nothing; write table and reports from this file of --json')
    .option(
      '--with <file>',
      'add the suites (e2e: the conditions) that are not measured now from an earlier file of --json',
      list,
      [],
    )
    .option('--compare <before>', 'compare two files of --json: --compare before.json after.json')
    .option(
      '--contenders <list>',
      'who is measured end to end, by commas, or "all"',
      words(Object.keys(CONTENDERS)),
    )
    .option(
      '--brief <list>',
      `who else is measured, in ${BRIEF.join(', ')} alone`,
      words(Object.keys(CONTENDERS)),
    )
    .option(
      '--conditions <list>',
      'underlay conditions, by commas',
      words(Object.keys(CONDITIONS) as LabCondition[]),
    )
    .option(
      '--measures <list>',
      'what is measured end to end, by commas (default: all)',
      words(Object.keys(MEASURES) as MeasureId[]),
    )
    .option('--rounds <n>', 'rounds of each measurement', count)
    .option('--seconds <n>', 'length of the longest measurement', count)
    .option(
      '--minutes <n>',
      'bound of e2e: measurements of one second if longer ones do not fit, then fewer rounds (default: twice its estimate and ten minutes)',
      count,
    )
    .option('--soak <seconds>', 'length of each part of the soak (default: an hour; --quick: 6)', soakLength)
    .option(
      '--stores <list>',
      'lease stores of the agents in the soak, by commas, each for the whole length (default: file)',
      words(STORES),
    )
    .option('--inner <family>', 'IP version between the pods, 4 or 6', family, 4)
    .option('--underlay <family>', 'IP version between the nodes, 4 or 6', family, 4)
    .helpOption('-h, --help', 'print this')
    .addHelpText(
      'after',
      `\nContenders: ${Object.keys(CONTENDERS).join(' ')}\n\nExample: npm run bench -- e2e --headline --json run.json --publish`,
    );
  command.parse(argv, { from: 'user' });
  const { compare, ...raw } = command.opts<Raw>();
  const given = command.args;
  if (compare !== undefined && given.length !== 1)
    throw new RipstopError('ECONFIG', '--compare takes two files', 'bench --compare before.json after.json');
  if (raw.quick && raw.headline)
    throw new RipstopError('ECONFIG', '--quick and --headline exclude each other', 'name one of them');
  const base: Preset = raw.quick ? QUICK : raw.headline ? HEADLINE : FULL;
  return {
    ...{ measures: undefined, without: [], minutes: undefined },
    ...base,
    // With --contenders only the named ones are measured.
    ...(raw.contenders ? { brief: [] } : {}),
    ...raw,
    suites: compare === undefined && given.length > 0 ? given.map(readSuite) : SUITES,
    ...(compare === undefined ? {} : { compare: [compare, given[0]!] as [string, string] }),
  };
}

function readSuite(word: string): Suite {
  const found = SUITES.find(suite => suite === word);
  if (found !== undefined) return found;
  throw new RipstopError('ECONFIG', `no suite "${word}"`, `there are ${SUITES.join(', ')}`);
}
