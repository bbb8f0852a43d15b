import { type ErrorCode, messageOf, RipstopError } from './errors.ts';
import { keyHint, suggest } from './suggest.ts';
import { shorten } from './text/shorten.ts';

/**
 * One key of a configuration object. The table of fields is the only place where a key is described:
 * reading, `--help` and `docs/reference/configuration.md` are all made from it.
 */
export interface Field<T = unknown> {
  /** Turns the raw JSON or YAML value into the typed one. Throws RipstopError ECONFIG through `fail`. */
  read(raw: unknown, where: string): T;
  /** Value when the key is absent; undefined together with `required` false means "absent". */
  fallback?: T;
  required?: boolean;
  /** For people: `string`, `1..65535`, `vxlan | udp`. */
  type: string;
  unit?: string;
  doc: string;
  /** Keys of the object, or of each object of the list, for the documentation. */
  fields?: Fields;
  /** The values in JSON Schema (draft 2020-12), without a description; absent: any value. */
  json?: object;
}

export type Fields = Record<string, Field>;
export type Shape<F extends Fields> = {
  [K in keyof F]: F[K] extends { required: true } | { fallback: {} }
    ? ReturnType<F[K]['read']>
    : ReturnType<F[K]['read']> | undefined;
};

/** Characters of an error that are kept: keys and values of another program may be of any size, and errors are stored and logged. */
const WHERE_MAX = 300;
const PROBLEM_MAX = 500;

/** Ends the reading of a configuration: `where` is the path of the key, as in `peers[2].address`. */
export function fail(where: string, problem: string, hint?: string): never {
  throw new RipstopError('ECONFIG', `${shorten(where, WHERE_MAX)}: ${shorten(problem, PROBLEM_MAX)}`, hint);
}

/** Reads `raw` against `fields`; unknown keys are errors with a suggestion. */
export function readObject<F extends Fields>(fields: F, raw: unknown, where: string): Shape<F> {
  const source = objectFrom(raw, where);
  const known = Object.keys(fields);
  for (const key of Object.keys(source)) {
    if (!Object.hasOwn(fields, key)) fail(keyPath(where, key), 'unknown key', keyHint(key, known));
  }
  return readKnown(fields, source, where);
}

/** Reads the keys that `fields` describes and ignores the others: for objects that another program or version writes. */
export function readKnown<F extends Fields>(fields: F, raw: unknown, where: string): Shape<F> {
  const source = objectFrom(raw, where);
  const result: Record<string, unknown> = {};
  for (const [key, field] of Object.entries(fields)) {
    const value = Object.hasOwn(source, key) ? source[key] : undefined;
    const at = keyPath(where, key);
    if (value !== undefined && value !== null) result[key] = field.read(value, at);
    else if (field.required)
      fail(at, 'is missing', `it takes ${field.type}${field.doc ? `: ${field.doc}` : ''}`);
    else result[key] = field.fallback;
  }
  return result as Shape<F>;
}

/** The value of a JSON text. @throws RipstopError ECONFIG */
export function parseJson(text: string, where: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new RipstopError('ECONFIG', `${where} is not JSON: ${messageOf(error)}`, undefined, {
      cause: error,
    });
  }
}

/** The value of a JSON text, read by `field`. @throws RipstopError `code`, which names path and expected type */
export function readJson<T>(field: Field<T>, text: string, where: string, code: ErrorCode = 'ECONFIG'): T {
  return readAs(code, () => field.read(parseJson(text, where), where));
}

/** What `read` yields; its errors of the configuration get another code. */
export function readAs<T>(code: ErrorCode, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof RipstopError) || error.code !== 'ECONFIG') throw error;
    throw new RipstopError(code, error.message, error.hint, { cause: error });
  }
}

function objectFrom(raw: unknown, where: string): Record<string, unknown> {
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw))
    fail(where || 'configuration', 'must be an object');
  return raw as Record<string, unknown>;
}

function keyPath(where: string, key: string): string {
  return where ? `${where}.${key}` : key;
}

/** A text that matches `pattern`, if given; `type` describes the pattern. */
export function text(type: string, doc: string, pattern?: RegExp): Field<string> {
  return {
    type,
    doc,
    json: { type: 'string', pattern: pattern?.source },
    read(raw, where) {
      if (typeof raw !== 'string' || (pattern && !pattern.test(raw)))
        fail(where, `${JSON.stringify(raw)} is not ${type}`);
      return raw;
    },
  };
}

/** A whole number within `min..max`, both included. */
export function integer(min: number, max: number, doc: string, unit?: string): Field<number> {
  return {
    type: `${min}..${max}`,
    doc,
    json: { type: 'integer', minimum: min, maximum: max },
    ...(unit ? { unit } : {}),
    read(raw, where) {
      if (typeof raw !== 'number' || !Number.isInteger(raw) || raw < min || raw > max)
        fail(where, `${JSON.stringify(raw)} is not a whole number within ${min}..${max}`);
      return raw;
    },
  };
}

export function flag(doc = ''): Field<boolean> {
  return {
    type: 'true | false',
    doc,
    json: { type: 'boolean' },
    read(raw, where) {
      if (typeof raw !== 'boolean') fail(where, `${JSON.stringify(raw)} is not true or false`);
      return raw;
    },
  };
}

/** One of a few words. */
export function oneOf<const T extends string>(words: readonly T[], doc = ''): Field<T> {
  return {
    type: words.join(' | '),
    doc,
    json: { enum: words },
    read(raw, where) {
      const word = words.find(candidate => candidate === raw);
      if (word !== undefined) return word;
      const near = typeof raw === 'string' ? suggest(raw, words) : undefined;
      fail(
        where,
        `${JSON.stringify(raw)} is not one of ${words.join(', ')}`,
        near ? `did you mean "${near}"?` : undefined,
      );
    },
  };
}

/** A list whose items are read by `item`. */
export function listOf<T>(item: Field<T>, doc = ''): Field<T[]> {
  return {
    type: `list of ${item.type}`,
    doc,
    json: { type: 'array', items: jsonSchema(item) },
    ...(item.fields ? { fields: item.fields } : {}),
    read(raw, where) {
      if (!Array.isArray(raw)) fail(where, 'must be a list');
      return raw.map((value, index) => item.read(value, `${where}[${index}]`));
    },
  };
}

/** A nested object with fields of its own. */
export function objectOf<F extends Fields>(fields: F, doc: string): Field<Shape<F>> {
  const json = { ...jsonObject(fields), additionalProperties: false };
  return { type: 'object', doc, fields, json, read: (raw, where) => readObject(fields, raw, where) };
}

/** A nested object that may have further keys. */
export function openObject<F extends Fields>(fields: F, doc: string): Field<Shape<F>> {
  const json = jsonObject(fields);
  return { type: 'object', doc, fields, json, read: (raw, where) => readKnown(fields, raw, where) };
}

/** An object whose keys are free and whose values are read by `item`. */
export function mapOf<T>(item: Field<T>, doc = ''): Field<Record<string, T>> {
  return {
    type: `map of ${item.type}`,
    doc,
    json: { type: 'object', additionalProperties: jsonSchema(item) },
    read: (raw, where) =>
      Object.fromEntries(
        Object.entries(objectFrom(raw, where)).map(([key, value]) => [
          key,
          item.read(value, keyPath(where, key)),
        ]),
      ),
  };
}

/** Any value, unchanged. */
export function anyValue(doc = ''): Field<unknown> {
  return { type: 'any', doc, read: raw => raw };
}

/** `field` as a required key. */
export function required<T>(field: Field<T>): Field<T> & { required: true } {
  return { ...field, required: true };
}

/** `field` with a default value. */
export function withDefault<T>(field: Field<T>, fallback: T): Field<T> & { fallback: T } {
  return { ...field, fallback };
}

/** `field` with what it means, for the documentation. */
export function described<F extends Field>(doc: string, field: F): F {
  return { ...field, doc };
}

/** The values of a field in JSON Schema. */
export function jsonSchema({ json, doc }: Field): object {
  return { description: doc || undefined, ...json };
}

/** An object of which the required keys are known. */
function jsonObject(fields: Fields, required = requiredOf(fields)): object {
  const properties = Object.entries(fields).map(([key, field]) => [key, jsonSchema(field)]);
  return { type: 'object', properties: Object.fromEntries(properties), required };
}

function requiredOf(fields: Fields): string[] {
  return Object.keys(fields).filter(key => fields[key]?.required);
}

/* Fields of the JSON that one part of Ripstop writes for another: the table of a record is also its type. */

export const string = text('a text', '');
export const boolean = flag();
export const number: Field<number> = {
  type: 'a number',
  doc: '',
  json: { type: 'number' },
  read: (raw, where) =>
    typeof raw === 'number' ? raw : fail(where, `${JSON.stringify(raw)} is not a number`),
};

/** An object with all keys of `fields`; other keys are ignored. */
export function record<F extends Fields>(
  fields: F,
): Field<{ [K in keyof F]: ReturnType<F[K]['read']> }> & { fields: F } {
  return {
    type: 'object',
    doc: '',
    fields,
    json: jsonObject(fields, Object.keys(fields)),
    read(raw, where) {
      const source = objectFrom(raw, where);
      const entries = Object.entries(fields).map(([key, field]) => {
        const at = keyPath(where, key);
        return [key, Object.hasOwn(source, key) ? field.read(source[key], at) : fail(at, 'is missing')];
      });
      return Object.fromEntries(entries) as { [K in keyof F]: ReturnType<F[K]['read']> };
    },
  };
}

/** `field`, or null. */
export function nullable<T>(field: Field<T>): Field<T | null> {
  return {
    ...field,
    type: `${field.type} or null`,
    json: { anyOf: [field.json ?? {}, { type: 'null' }] },
    read: (raw, where) => (raw === null ? null : field.read(raw, where)),
  };
}

/** What a field reads. */
export type ValueOf<F extends Field> = Immutable<ReturnType<F['read']>>;

type Immutable<T> = T extends readonly (infer E)[]
  ? readonly Immutable<E>[]
  : T extends object
    ? { readonly [K in keyof T]: Immutable<T[K]> }
    : T;
