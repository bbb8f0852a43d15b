import type { ValueOf } from '../../base/schema.ts';
import { printableJson } from '../../base/text/printable.ts';
import type { JSON_FORMATS } from './formats.ts';

type FormatName = keyof typeof JSON_FORMATS;
type Value<F extends FormatName> = ValueOf<(typeof JSON_FORMATS)[F]['field']>;

/** The output of a command that prints one object. Its first key names format and version. */
export function jsonDocument<F extends FormatName>(format: F, value: Value<F>): string {
  return `${printableJson(JSON.stringify({ format, ...value }, null, 2))}\n`;
}

/** One object of a command that prints an object per line. */
export function jsonLine<F extends FormatName>(format: F, value: Value<F>): string {
  return `${printableJson(JSON.stringify({ format, ...value }))}\n`;
}
