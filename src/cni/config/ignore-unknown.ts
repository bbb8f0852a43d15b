import { anyValue, type Field, type Fields, mapOf, readKnown, type Shape } from '../../base/schema.ts';

/*
 * Plugin configurations are open: a runtime adds keys, other plugins of the chain read the same object, and the
 * reference plugins ignore what they do not know and match keys without regard to case, as Go's JSON decoder does.
 */

/** An object with its keys under the names of the table, an exact name before another case; any other value unchanged. */
function known(fields: Fields, raw: unknown): unknown {
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) return raw;
  const source = raw as Record<string, unknown>;
  const names = new Map(Object.keys(fields).map(name => [name.toLowerCase(), name]));
  const picked: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(source)) {
    const name = names.get(key.toLowerCase());
    if (name === undefined || (name !== key && Object.hasOwn(source, name))) continue;
    picked[name] = value;
  }
  return picked;
}

/** Reads the keys that `fields` describes and ignores the others. @throws RipstopError ECONFIG */
export function readIgnoringUnknown<F extends Fields>(fields: F, raw: unknown, where: string): Shape<F> {
  return readKnown(fields, known(fields, raw), where);
}

/** A nested object that may hold keys of others. */
export function passthroughObject<F extends Fields>(fields: F, doc: string): Field<Shape<F>> {
  return { type: 'object', doc, read: (raw, where) => readIgnoringUnknown(fields, raw, where) };
}

/** An object handed on as it is. */
export const anyObject = (doc: string): Field<Record<string, unknown>> => mapOf(anyValue('any value'), doc);
