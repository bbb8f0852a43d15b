import { nodeFields } from '../../../src/agent/node/fields.ts';
import type { Field, Fields } from '../../../src/base/schema.ts';

/** What the generated part of docs/configuration.md stands between. */
const BEGIN = '<!-- generated from src/agent/node/fields.ts; UPDATE_DOCS=1 npm test writes it -->';
const END = '<!-- end of the generated part -->';

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('<', '&lt;');
}

function fallbackOf(field: Field): string {
  if (field.required) return 'must be given';
  const { fallback } = field;
  if (field.fields && !Array.isArray(fallback)) return '';
  if (fallback === undefined || fallback === '') return '';
  return Array.isArray(fallback) && fallback.length === 0 ? 'none' : `\`${String(fallback)}\``;
}

function table(fields: Fields): string[] {
  const rows = Object.entries(fields).map(([name, field]) => {
    const unit = field.unit ? ` (${field.unit})` : '';
    return `| \`${name}\` | ${cell(field.type)}${unit} | ${cell(fallbackOf(field))} | ${cell(field.doc)} |`;
  });
  return ['| key | value | when left out | meaning |', '| --- | --- | --- | --- |', ...rows];
}

/** The tables of `node.yaml`: its own keys, then those of each object in it. */
function renderNodeKeys(): string {
  const nested = Object.entries(nodeFields as Fields).flatMap(([name, { fields, doc }]) =>
    fields ? ['', `## \`${name}\`: ${doc}`, '', ...table(fields)] : [],
  );
  return [BEGIN, '', '## All keys', '', ...table(nodeFields), ...nested, '', END].join('\n');
}

/** `page` with its generated part made anew. Throws when the page has no place for it. */
export function withNodeKeys(page: string): string {
  const begin = page.indexOf(BEGIN);
  const end = page.indexOf(END);
  if (begin === -1 || end < begin)
    throw new Error(`docs/configuration.md has lost its marks: ${BEGIN} ... ${END}`);
  return page.slice(0, begin) + renderNodeKeys() + page.slice(end + END.length);
}
