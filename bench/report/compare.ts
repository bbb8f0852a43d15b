import { mannWhitney } from '../../src/measure/figures/statistics.ts';
import { type Cell, cells, indexCells, labelOf, show } from './rows.ts';
import { type BenchFile, FIGURES } from './samples.ts';

export interface Change {
  before: Cell;
  after: Cell;
  /** after / before, of the medians. */
  ratio: number;
  /** Of seeing such a difference by chance. */
  probability: number;
  verdict: 'better' | 'worse' | 'the same' | 'too few samples';
}

const SUITES = ['e2e', 'path', 'update', 'micro', 'scale', 'sizing', 'traffic', 'cni', 'soak', 'churn'];
/** A smaller change is not reported, even if it is certain. */
export const LEAST_CHANGE = 0.02;
export const CHANCE = 0.05;
/** With fewer on a side no difference can be certain: 3 and 3 rounds leave a chance of 10 % at best. */
export const FEWEST = 4;

/** Compares two runs figure by figure. */
export function compareRuns(before: BenchFile, after: BenchFile): Change[] {
  return SUITES.flatMap(suite => {
    const find = indexCells(cells(before.samples, suite));
    return cells(after.samples, suite).flatMap(cell => {
      const old = find(cell.contender, cell.condition, cell.figure);
      return old ? [judge(old, cell)] : [];
    });
  });
}

function judge(before: Cell, after: Cell): Change {
  const ratio =
    before.median === 0 ? (after.median === 0 ? 1 : Number.POSITIVE_INFINITY) : after.median / before.median;
  const probability = mannWhitney(before.values, after.values);
  const change = { before, after, ratio, probability };
  if (Math.abs(ratio - 1) < LEAST_CHANGE) return { ...change, verdict: 'the same' };
  if (Math.min(before.count, after.count) < FEWEST) return { ...change, verdict: 'too few samples' };
  if (probability > CHANCE) return { ...change, verdict: 'the same' };
  const up = ratio > 1;
  return { ...change, verdict: (FIGURES[after.figure].better === 'more') === up ? 'better' : 'worse' };
}

/** What changed beyond the noise; what did not is counted. */
export function formatComparison(before: BenchFile, after: BenchFile): string {
  const changes = compareRuns(before, after);
  const name = ({ versions, began }: BenchFile) =>
    `${versions.commit ?? versions.ripstop} of ${began.slice(0, 16)}Z`;
  const lines = [`from ${name(before)} to ${name(after)}`];
  if (before.machine.processor !== after.machine.processor || before.machine.cores !== after.machine.cores)
    lines.push('The machines differ: differences are not the code alone.');
  for (const { before: old, after: cell, ratio, probability, verdict } of changes) {
    if (verdict === 'the same' || verdict === 'too few samples') continue;
    const { title, unit } = FIGURES[cell.figure];
    const who = [labelOf(after, cell.contender), cell.condition].filter(Boolean).join(', ');
    const values = `${show(cell.figure, old.median)} -> ${show(cell.figure, cell.median)} ${unit}`;
    const percent = `${ratio > 1 ? '+' : ''}${((ratio - 1) * 100).toFixed(1)} %`;
    lines.push(
      `${verdict.padEnd(6)} ${who}: ${title.trim()}: ${values} (${percent}, p ${probability.toFixed(3)})`,
    );
  }
  const count = (verdict: Change['verdict']) => changes.filter(change => change.verdict === verdict).length;
  lines.push(
    `${changes.length} figures compared: ${count('better')} better, ${count('worse')} worse, ` +
      `${count('the same')} within the noise, ${count('too few samples')} with too few samples to tell (4 rounds at least)`,
  );
  return `${lines.join('\n')}\n`;
}
