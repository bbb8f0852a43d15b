import { RipstopError } from '../../src/base/errors.ts';
import { cells, distinct, indexCells, labelOf, show } from './rows.ts';
import { type BenchFile, FIGURES, type FigureId } from './samples.ts';

const BEGIN = '<!-- figures: begin, written by npm run bench -- --readme README.md -->';
const END = '<!-- figures: end -->';

/** What a newcomer asks first. */
const FIRST: readonly FigureId[] = ['tcp1', 'tcp4', 'udp64x1', 'rr50', 'cpu'];
const OWN = 'vxlan';
const RIVALS = ['kernel', 'one-call'];

/** `text` with the table between the marks replaced. @throws RipstopError ECONFIG when the marks are not there */
export function withFigures(text: string, file: BenchFile): string {
  const begin = text.indexOf(BEGIN);
  const end = text.indexOf(END);
  if (begin < 0 || end < begin)
    throw new RipstopError('ECONFIG', 'no marks to write the figures between', `put "${BEGIN}" and "${END}"`);
  return `${text.slice(0, begin + BEGIN.length)}\n${figures(file)}\n${text.slice(end)}`;
}

function figures(file: BenchFile): string {
  const list = cells(file.samples, 'e2e');
  const find = indexCells(list);
  const rivals = RIVALS.filter(id => list.some(cell => cell.contender === id));
  const head = ['', 'underlay', labelOf(file, OWN), ...rivals.flatMap(id => [labelOf(file, id), 'ratio'])];
  const rows = FIRST.flatMap(figure =>
    distinct(list, cell => cell.condition).flatMap(condition => {
      const own = find(OWN, condition, figure);
      if (!own) return [];
      const beside = rivals.flatMap(id => {
        const rival = find(id, condition, figure);
        return rival ? [show(figure, rival.median), (own.median / rival.median).toFixed(2)] : ['-', '-'];
      });
      const { title, unit, better } = FIGURES[figure];
      const name = `${title}, ${unit}${better === 'less' ? ' (less is better)' : ''}`;
      return [[name, condition, show(figure, own.median), ...beside]];
    }),
  );
  const line = (row: string[]) => `| ${row.join(' | ')} |`;
  const { versions, machine, began } = file;
  const where = `Pod to pod, medians, ${machine.cores} cores (${machine.processor}), kernel ${versions.kernel}, Node ${versions.node}, commit ${versions.commit ?? 'unknown'}, ${began.slice(0, 10)}.`;
  return [where, '', line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}
