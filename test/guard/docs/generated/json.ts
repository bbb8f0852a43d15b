import { jsonSchema } from '../../../../src/base/schema.ts';
import { JSON_FORMATS } from '../../../../src/cli/json/formats.ts';
import { type GeneratedPart, table } from './part.ts';

/** The part of JSON Schema that the fields use. */
export interface Schema {
  readonly description?: string;
  readonly type?: string | readonly string[];
  readonly enum?: readonly string[];
  readonly const?: string;
  readonly anyOf?: readonly Schema[];
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: Schema | false;
}

/** The schema of the output of each command: that of its value with the key `format`. */
export const SCHEMAS: Readonly<Record<string, Schema>> = Object.fromEntries(
  Object.entries(JSON_FORMATS).map(([format, { command, field }]) => {
    const value = jsonSchema(field) as Schema;
    const properties = { format: { const: format }, ...value.properties };
    const required = ['format', ...(value.required ?? [])];
    return [format, { ...value, description: `\`${command}\``, properties, required }];
  }),
);

/** The file docs/reference/json-schema.json. */
export function renderSchemas(): string {
  const draft = 'https://json-schema.org/draft/2020-12/schema';
  return `${JSON.stringify({ $schema: draft, $defs: SCHEMAS }, null, 2)}\n`;
}

/** The keys of each output, for docs/reference/json.md. */
export const jsonKeys: GeneratedPart = {
  sources: 'src/cli/json/formats.ts',
  lines: () =>
    Object.entries(SCHEMAS).flatMap(([format, { description, ...schema }]) => [
      `## ${format}`,
      '',
      `${description} prints ${isPerLine(format) ? 'one object per line' : 'one object'}.`,
      '',
      ...table(['key', 'value', 'meaning'], rowsOf(schema, '')),
      '',
    ]),
};

function isPerLine(format: string): boolean {
  return Object.entries(JSON_FORMATS).some(([name, about]) => name === format && 'lines' in about);
}

/** One row per key of an object, and below it those of the objects that the key holds. */
function rowsOf({ properties = {}, required = [] }: Schema, prefix: string): string[][] {
  return Object.entries(properties).flatMap(([key, schema]) => {
    const path = `${prefix}${key}`;
    const optional = required.includes(key) ? '' : ', may be absent';
    const meaning =
      schema.const === undefined ? (schema.description ?? '') : 'name and version of the format';
    const [inner, suffix] = innerOf(schema);
    return [
      [`\`${path}\``, `${valueText(schema)}${optional}`, meaning],
      ...rowsOf(inner, `${path}${suffix}.`),
    ];
  });
}

/** The schema of the object that a value is, or has in its items or values, and what its path gets. */
function innerOf(schema: Schema): [Schema, string] {
  const { anyOf, items, additionalProperties } = schema;
  if (anyOf?.[0]) return innerOf(anyOf[0]);
  if (items) return [innerOf(items)[0], '[]'];
  if (additionalProperties) return [innerOf(additionalProperties)[0], '.*'];
  return [schema, ''];
}

const TYPES: Readonly<Record<string, string>> = { string: 'text', integer: 'whole number' };

function valueText(schema: Schema): string {
  const { anyOf, items, additionalProperties, type } = schema;
  if (schema.const !== undefined) return `\`${schema.const}\``;
  if (schema.enum) return schema.enum.map(word => `\`${word}\``).join(', ');
  if (anyOf) return anyOf.map(valueText).join(' or ');
  if (items) return `list of ${valueText(items)}s`;
  if (additionalProperties) return `map of ${valueText(additionalProperties)}s`;
  return [type ?? 'any value']
    .flat()
    .map(one => TYPES[one] ?? one)
    .join(', ');
}
