import type { ValueOf } from '../../base/schema.ts';
import { printableJson } from '../../base/text/printable.ts';
import type { JSON_FORMATS } from './formats.ts';

/** Formats of `--output`. */
export const OUTPUTS = ['json', 'yaml'] as const;
export type Output = (typeof OUTPUTS)[number];

type FormatName = keyof typeof JSON_FORMATS;
type Value<F extends FormatName> = ValueOf<(typeof JSON_FORMATS)[F]['field']>;

/** The output of a command that prints one object. Its first key names format and version. */
export async function objectText<F extends FormatName>(
  output: Output,
  format: F,
  value: Value<F>,
): Promise<string> {
  const whole = { format, ...value };
  return output === 'yaml' ? yamlText(whole) : `${printableJson(JSON.stringify(whole, null, 2))}\n`;
}

/** One object of a command that prints many: a line of JSON, or a document of a YAML stream. */
export async function rowText<F extends FormatName>(
  output: Output,
  format: F,
  value: Value<F>,
): Promise<string> {
  const whole = { format, ...value };
  return output === 'yaml' ? `---\n${await yamlText(whole)}` : `${printableJson(JSON.stringify(whole))}\n`;
}

/** The value as readers of YAML 1.1 and 1.2 take it: older ones read a plain `on` as a boolean and `1:20` as a number. */
async function yamlText(value: unknown): Promise<string> {
  // Loaded when it is used: other commands start sooner without it.
  const { Document, Scalar, visit } = await import('yaml');
  const document = new Document(value, { version: '1.1', aliasDuplicateObjects: false });
  visit(document, {
    Scalar(_, scalar) {
      const { value: text } = scalar;
      // Only a quoted text has escapes.
      if (typeof text === 'string' && printableJson(text) !== text) scalar.type = Scalar.QUOTE_DOUBLE;
    },
  });
  return printableJson(document.toString({ lineWidth: 0 }));
}
