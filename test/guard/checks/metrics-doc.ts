import { WORKER_STATS } from '../../../src/dataplane/descriptor/counters.ts';
import { VERDICTS } from '../../../src/dataplane/descriptor/verdicts.ts';

/** What the generated part of docs/metrics.md stands between. */
export const BEGIN =
  '<!-- generated from src/dataplane/descriptor/verdicts.ts and src/dataplane/descriptor/counters.ts; UPDATE_DOCS=1 npm test writes it -->';
export const END = '<!-- end of the generated part -->';

function row(cells: readonly string[]): string {
  return `| ${cells.map(cell => cell.replaceAll('|', '\\|')).join(' | ')} |`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  return [row(head), row(head.map(() => '---')), ...rows.map(row)];
}

/** The generated part: every verdict and every worker statistic of the data plane. */
export function renderMetrics(): string {
  const verdicts = VERDICTS.map(({ name, drop, direction, meaning, remedy }) => [
    `\`${name}\``,
    drop ? 'yes' : '',
    direction,
    meaning,
    remedy,
  ]);
  return [
    BEGIN,
    '',
    '## Verdicts',
    '',
    ...table(['verdict', 'dropped', 'direction', 'what happened', 'what to do'], verdicts),
    '',
    '## Statistics of a worker',
    '',
    ...table(
      ['statistic', 'meaning'],
      WORKER_STATS.map(({ name, meaning }) => [`\`${name}\``, meaning]),
    ),
    '',
    END,
  ].join('\n');
}

/** `page` with its generated part made anew. Throws when the page has no place for it. */
export function withMetrics(page: string): string {
  const begin = page.indexOf(BEGIN);
  const end = page.indexOf(END);
  if (begin === -1 || end < begin) throw new Error(`docs/metrics.md has lost its marks: ${BEGIN} ... ${END}`);
  return page.slice(0, begin) + renderMetrics() + page.slice(end + END.length);
}
