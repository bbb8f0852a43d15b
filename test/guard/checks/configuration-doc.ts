import { fileFields, settingDefault } from '../../../src/agent/store/static/fields.ts';
import type { Field, Fields } from '../../../src/base/schema.ts';

/** What the generated part of docs/configuration.md stands between. */
const BEGIN = '<!-- generated from src/agent/store/static/fields.ts; UPDATE_DOCS=1 npm test writes it -->';
const END = '<!-- end of the generated part -->';

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('<', '&lt;');
}

function fallbackOf(name: string, field: Field): string {
  if (field.required) return 'must be given';
  const setting = settingDefault(name);
  if (setting !== undefined) return `\`${setting}\``;
  const { fallback } = field;
  if (field.fields && !Array.isArray(fallback)) return '';
  if (fallback === undefined || fallback === '') return '';
  return Array.isArray(fallback) && fallback.length === 0 ? 'none' : `\`${String(fallback)}\``;
}

function table(fields: Fields): string[] {
  const rows = Object.entries(fields).map(([name, field]) => {
    const unit = field.unit ? ` (${field.unit})` : '';
    return `| \`${name}\` | ${cell(field.type)}${unit} | ${cell(fallbackOf(name, field))} | ${cell(field.doc)} |`;
  });
  return ['| key | value | when left out | meaning |', '| --- | --- | --- | --- |', ...rows];
}

/** The tables of the file: its own keys, then those of each object in it. */
function renderFileKeys(): string {
  const nested = Object.entries(fileFields as Fields).flatMap(([name, { fields, doc }]) =>
    fields ? ['', `## \`${name}\`: ${doc}`, '', ...table(fields)] : [],
  );
  return [BEGIN, '', '## All keys', '', ...table(fileFields), ...nested, '', END].join('\n');
}

/** `page` with its generated part made anew. Throws when the page has no place for it. */
export function withFileKeys(page: string): string {
  const begin = page.indexOf(BEGIN);
  const end = page.indexOf(END);
  if (begin === -1 || end < begin)
    throw new Error(`docs/configuration.md has lost its marks: ${BEGIN} ... ${END}`);
  return page.slice(0, begin) + renderFileKeys() + page.slice(end + END.length);
}
