import { FIGURES } from './figures.ts';
import type { BenchReport } from './report.ts';

/** All samples as CSV (RFC 4180): one line per value. No field has a comma or a quote, except for titles. */
export function benchCsv({ samples }: BenchReport): string {
  const rows = samples.map(({ size, figure, repeat, value }) => {
    const { title, unit } = FIGURES[figure];
    return [size, figure, `"${title}"`, unit, repeat, value].join(',');
  });
  return `${['size,figure,title,unit,repeat,value', ...rows].join('\r\n')}\r\n`;
}
