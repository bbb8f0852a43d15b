import { quantile } from '../../src/measure/figures/statistics.ts';
import { cells, distinct, indexCells, labelOf } from './rows.ts';
import type { BenchFile, FigureId } from './samples.ts';

const REFERENCE = 'cni-go';

/**
 * Half and 99 of a hundred ADDs and DELs, and the half of ADD as a ratio to the reference plugins' on the same node.
 * Undefined when not run.
 */
export function cniTable(file: BenchFile): { head: string[]; rows: string[][] } | undefined {
  const list = cells(file.samples, 'cni');
  if (list.length === 0) return undefined;
  const find = indexCells(list);
  const at = (contender: string, condition: string, figure: FigureId, share: number) =>
    quantile(find(contender, condition, figure)?.values ?? [], share);
  const ms = (value: number | undefined) => value?.toFixed(1) ?? '-';
  const places = distinct(list, cell => cell.condition);
  const rows = places.flatMap(condition =>
    distinct(
      list.filter(cell => cell.condition === condition),
      cell => cell.contender,
    ).map(contender => {
      const own = at(contender, condition, 'cniAdd', 0.5);
      const reference = at(REFERENCE, condition, 'cniAdd', 0.5);
      const ratio = own === undefined || reference === undefined ? '-' : (own / reference).toFixed(2);
      const values = (['cniAdd', 'cniDel'] as const).flatMap(figure =>
        [0.5, 0.99].map(share => ms(at(contender, condition, figure, share))),
      );
      return [[labelOf(file, contender), condition].filter(Boolean).join(', '), ...values, ratio];
    }),
  );
  return {
    head: ['ms (chain: bridge, host-local, portmap)', 'ADD 50', 'ADD 99', 'DEL 50', 'DEL 99', 'ratio'],
    rows,
  };
}
