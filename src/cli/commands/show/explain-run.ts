import { RipstopError } from '../../../base/errors.ts';
import { suggest } from '../../../base/suggest.ts';
import {
  EXPLANATIONS,
  type Explanation,
  explain,
  KINDS,
  similarNames,
} from '../../../diagnose/explain/explanation.ts';
import { type Output, objectText } from '../../json/print.ts';

const WIDTH = 80;
const INDENT = '  ';

/** @param name undefined: all names @throws RipstopError ECONFIG with similar names */
export async function runExplain(
  name: string | undefined,
  output: Output | undefined,
  wrap: Wrap,
): Promise<void> {
  const one = name === undefined ? undefined : find(name);
  const explanations = one ? [one] : EXPLANATIONS;
  if (output) process.stdout.write(await objectText(output, 'ripstop-explain/1', { explanations }));
  else process.stdout.write(one ? showExplanation(one, wrap) : listNames(EXPLANATIONS, wrap));
}

function find(name: string): Explanation {
  const found = explain(name);
  if (found) return found;
  const near = suggest(
    name,
    EXPLANATIONS.map(one => one.name),
  );
  const similar = near ? [near] : similarNames(name);
  throw new RipstopError(
    'ECONFIG',
    `nothing is named ${JSON.stringify(name)}`,
    similar.length > 0
      ? `similar names: ${similar.join(', ')}`
      : '`ripstop explain` without a name lists all names; codes of system calls are in errno(3)',
  );
}

/** Breaks a text into lines of at most `width` columns. */
type Wrap = (text: string, width: number) => string;

/** One list per kind of name: the name and what it means. */
export function listNames(explanations: readonly Explanation[], wrap: Wrap): string {
  const column = Math.max(...explanations.map(({ name }) => name.length)) + INDENT.length;
  const entry = ({ name, meaning }: Explanation) =>
    `${name.padEnd(column)}${wrap(meaning, WIDTH - column).replaceAll('\n', `\n${' '.repeat(column)}`)}\n`;
  return KINDS.map(kind => {
    const entries = explanations.filter(one => one.kind === kind).map(entry);
    return `${kind.toUpperCase()}\n${entries.join('')}`;
  }).join('\n');
}

export function showExplanation(
  { name, kind, meaning, cause, evidence, remedy }: Explanation,
  wrap: Wrap,
): string {
  const parts = [
    ['What it means', meaning],
    ['Why it happens', cause],
    ['How to see it', evidence],
    ['What to do', remedy],
  ] as const;
  const indented = (text: string) => wrap(text, WIDTH - INDENT.length).replaceAll(/^/gm, INDENT);
  return `${name} (${kind})\n${parts.map(([title, text]) => `\n${title}\n${indented(text)}\n`).join('')}`;
}
