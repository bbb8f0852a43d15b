import { fileFields, settingDefault } from '../../../../src/agent/store/static/fields.ts';
import type { Field, Fields } from '../../../../src/base/schema.ts';
import { type GeneratedPart, table } from './part.ts';

function fallbackOf(name: string, field: Field): string {
  if (field.required) return 'required';
  const setting = settingDefault(name);
  if (setting !== undefined) return `\`${setting}\``;
  const { fallback } = field;
  if (field.fields && !Array.isArray(fallback)) return '';
  if (fallback === undefined || fallback === '') return '';
  return Array.isArray(fallback) && fallback.length === 0 ? 'none' : `\`${String(fallback)}\``;
}

function keyTable(fields: Fields): string[] {
  const rows = Object.entries(fields).map(([name, field]) => {
    const unit = field.unit ? ` (${field.unit})` : '';
    return [`\`${name}\``, `${field.type}${unit}`, fallbackOf(name, field), field.doc];
  });
  return table(['key', 'value', 'default', 'meaning'], rows);
}

/** The keys of the file, then those of each object in it, for docs/reference/configuration.md. */
export const fileKeys: GeneratedPart = {
  sources: 'src/agent/store/static/fields.ts',
  lines: () => [
    '## All keys',
    '',
    ...keyTable(fileFields),
    ...Object.entries(fileFields as Fields).flatMap(([name, { fields, doc }]) =>
      fields ? ['', `## \`${name}\`: ${doc}`, '', ...keyTable(fields)] : [],
    ),
  ],
};
