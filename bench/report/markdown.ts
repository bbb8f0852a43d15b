import { machineSentences } from '../e2e/machine-words.ts';
import { facts, type Table, tables } from './content.ts';
import type { BenchFile } from './samples.ts';

const cell = (text: string) => text.replaceAll('|', '\\|');
const line = (cells: readonly string[]) => `| ${cells.map(cell).join(' | ')} |`;

function format({ title, head, rows }: Table): string {
  return [`## ${title}`, '', line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

/** bench/results/benchmarks.md, whole. */
export function formatMarkdown(file: BenchFile): string {
  const head = [
    '# Benchmarks',
    '',
    '`npm run bench -- --publish` generates this page; do not edit it.',
    '[benchmarking.md](../../docs/guides/benchmark/benchmarking.md) explains what is measured, how, and what the conditions mean.',
    '[limits.md](limits.md) explains what limits the goals that are missed.',
    '',
    ...facts(file).map(([name, value]) => `- ${name}: ${value}`),
  ].join('\n');
  const sentences = machineSentences(file);
  const words =
    sentences.length === 0 ? [] : [['## This machine', '', ...sentences.map(s => `- ${s}`)].join('\n')];
  return `${[head, ...words, ...tables(file).map(format)].join('\n\n')}\n`;
}
