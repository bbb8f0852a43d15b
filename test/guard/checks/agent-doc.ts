import { FLAGS, type Flag } from '../../../src/agent/config/flag-table.ts';
import { variableOf } from '../../../src/agent/config/flags.ts';
import { METRICS } from '../../../src/api/metrics.ts';

const BEGIN =
  '<!-- generated from src/agent/config/flag-table.ts and src/api/metrics.ts; UPDATE_DOCS=1 npm test writes it -->';
const END = '<!-- end of the generated part -->';

function row(cells: readonly string[]): string {
  return `| ${cells.map(cell => cell.replaceAll('|', '\\|')).join(' | ')} |`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  return [row(head), row(head.map(() => '---')), ...rows.map(row)];
}

function flagRow(flag: Flag): string[] {
  const fallback = Array.isArray(flag.fallback) ? flag.fallback.join(',') : String(flag.fallback);
  const text = flag.inert ? `accepted without effect: ${flag.inert}` : flag.doc;
  return [`\`--${flag.name}\``, fallback === '' ? '' : `\`${fallback}\``, text];
}

/** The generated part: every flag and every metric of the agent. */
export function renderAgent(): string {
  const flags = (isOwn: boolean) => FLAGS.filter(flag => (flag.own ?? false) === isOwn).map(flagRow);
  const variables = FLAGS.slice(0, 1).map(variableOf);
  return [
    BEGIN,
    '',
    '## Flags of flanneld',
    '',
    `Each is also a variable (\`${variables[0]}\`); the command line wins.`,
    '',
    ...table(['flag', 'default', 'meaning'], flags(false)),
    '',
    '## Flags of Ripstop',
    '',
    'Their variables begin with `RIPSTOP_`.',
    '',
    ...table(['flag', 'default', 'meaning'], flags(true)),
    '',
    '## Metrics',
    '',
    ...table(
      ['metric', 'kind', 'labels', 'meaning'],
      METRICS.map(({ name, kind, labels, help }) => [`\`${name}\``, kind, labels.join(', '), help]),
    ),
    '',
    END,
  ].join('\n');
}

/** `page` with its generated part made anew. Throws when the page has no place for it. */
export function withAgent(page: string): string {
  const begin = page.indexOf(BEGIN);
  const end = page.indexOf(END);
  if (begin === -1 || end < begin) throw new Error(`docs/agent.md has lost its marks: ${BEGIN} ... ${END}`);
  return page.slice(0, begin) + renderAgent() + page.slice(end + END.length);
}
