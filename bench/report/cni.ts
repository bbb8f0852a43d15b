import { cells, distinct, indexCells, labelOf } from './rows.ts';
import type { BenchFile, FigureId } from './samples.ts';
import { quantile } from './statistics.ts';

const REFERENCE = 'cni-go';

/** Half and 99 of a hundred ADDs and DELs, and the half as a ratio to the reference plugins'. Undefined when not run. */
export function cniTable(file: BenchFile): { head: string[]; rows: string[][] } | undefined {
  const list = cells(file.samples, 'cni');
  if (list.length === 0) return undefined;
  const find = indexCells(list);
  const at = (contender: string, figure: FigureId, share: number) =>
    quantile(find(contender, '', figure)?.values ?? [], share);
  const ms = (value: number | undefined) => value?.toFixed(1) ?? '-';
  const rows = distinct(list, cell => cell.contender).map(contender => {
    const own = at(contender, 'cniAdd', 0.5);
    const reference = at(REFERENCE, 'cniAdd', 0.5);
    const ratio = own === undefined || reference === undefined ? '-' : (own / reference).toFixed(2);
    const values = (['cniAdd', 'cniDel'] as const).flatMap(figure =>
      [0.5, 0.99].map(share => ms(at(contender, figure, share))),
    );
    return [labelOf(file, contender), ...values, ratio];
  });
  return { head: ['cni, ms', 'ADD 50', 'ADD 99', 'DEL 50', 'DEL 99', 'ratio'], rows };
}
