import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CHECKOUT } from './lab/tool.ts';
import { formatMarkdown } from './report/markdown.ts';
import { figuresOf, plotOf } from './report/readme.ts';
import type { BenchFile } from './report/samples.ts';

const RESULTS = 'bench/results';
const REPORT = 'benchmarks.md';
const FORMER = /^benchmarks-(.+)\.md$/;

/**
 * Writes the report of a run, the figures of the README from it, and keeps the former report under the name of its machine
 * when that is another one.
 * @returns the paths that were written
 */
export function publish(file: BenchFile, root = CHECKOUT): string[] {
  const at = (path: string) => join(root, path);
  const written: string[] = [];
  const write = (path: string, text: string) => {
    writeFileSync(at(path), text);
    written.push(path);
  };
  const report = formatMarkdown(file);
  const plot = plotOf(report); // before anything is written: a report without the headline's figures is refused
  const former = existsSync(at(`${RESULTS}/${REPORT}`))
    ? readFileSync(at(`${RESULTS}/${REPORT}`), 'utf8')
    : '';
  if (former !== '' && machineOf(former) !== machineOf(report))
    write(`${RESULTS}/benchmarks-${slug(machineOf(former))}.md`, former);
  write(`${RESULTS}/${REPORT}`, report);
  write('docs/images/figures.svg', plot);
  write('README.md', withFigures(readFileSync(at('README.md'), 'utf8'), report));
  const index = readFileSync(at(`${RESULTS}/README.md`), 'utf8');
  write(`${RESULTS}/README.md`, withFormer(index, readdirSync(at(RESULTS))));
  return written;
}

/** `2 cores, a processor, Linux 6.1` of a report. */
function machineOf(report: string): string {
  const fact = (name: string) => new RegExp(`^- ${name}: (.*)$`, 'm').exec(report)?.[1] ?? 'unknown';
  return `${fact('machine')}, Linux ${fact('kernel')}`;
}

const slug = (name: string) =>
  name
    .toLowerCase()
    .replace(/\(r\)|\(tm\)/g, '')
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '');

/** The text between two marks replaced. */
function between(page: string, mark: string, text: string): string {
  const [begin, end] = [`<!-- ${mark}: begin -->\n`, `<!-- ${mark}: end -->`];
  const [head, rest = ''] = page.split(begin);
  const tail = rest.split(end)[1];
  if (tail === undefined) throw new Error(`the page has no marks "${mark}"`);
  return `${head}${begin}${text}\n${end}${tail}`;
}

/** The README with the figures of a report. */
export const withFigures = (readme: string, report: string): string =>
  between(readme, 'figures', figuresOf(report));

/** The page of the results with a list of the former reports among `names`. */
export function withFormer(index: string, names: readonly string[]): string {
  const rows = names.filter(name => FORMER.test(name)).sort();
  const list = rows.map(name => `- [${FORMER.exec(name)![1]!.replaceAll('-', ' ')}](${name})`);
  return between(index, 'former', list.length === 0 ? 'None yet.' : list.join('\n'));
}
