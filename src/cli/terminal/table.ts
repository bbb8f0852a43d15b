import { printable } from '../../base/text/printable.ts';

/** A text table with two blanks between the columns. Columns of numbers are right-aligned. */
export function formatTable(
  titles: readonly string[],
  rows: readonly (readonly (string | number)[])[],
): string {
  const cells = rows.map(row => row.map(cell => printable(String(cell))));
  const isNumeric = titles.map((_, at) => rows.length > 0 && rows.every(row => typeof row[at] === 'number'));
  const widths = titles.map((title, at) => Math.max(title.length, ...cells.map(row => row[at]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, at) => (isNumeric[at] ? cell.padStart(widths[at] ?? 0) : cell.padEnd(widths[at] ?? 0)))
      .join('  ')
      .trimEnd();
  return `${[titles, ...cells].map(line).join('\n')}\n`;
}
