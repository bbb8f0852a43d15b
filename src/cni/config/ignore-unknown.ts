import { anyValue, type Field, type Fields, mapOf, readKnown, type Shape } from '../../base/schema.ts';
import { withNames } from './keys.ts';

/*
 * Plugin configurations are open: a runtime adds keys, other plugins of the chain read the same object, and the
 * reference plugins ignore what they do not know.
 */

/** Reads the keys that `fields` describes, in any case, and ignores the others. @throws RipstopError ECONFIG */
export function readIgnoringUnknown<F extends Fields>(fields: F, raw: unknown, where: string): Shape<F> {
  const isObject = typeof raw === 'object' && raw !== null && !Array.isArray(raw);
  const source = isObject ? withNames(Object.keys(fields), raw as Record<string, unknown>) : raw;
  return readKnown(fields, source, where);
}

/** A nested object that may hold keys of others. */
export function passthroughObject<F extends Fields>(fields: F, doc: string): Field<Shape<F>> {
  return { type: 'object', doc, fields, read: (raw, where) => readIgnoringUnknown(fields, raw, where) };
}

/** An object handed on as it is. */
export function anyObject(doc: string): Field<Record<string, unknown>> {
  const map = mapOf(anyValue('any value'), doc);
  return {
    ...map,
    read(raw, where) {
      map.read(raw, where);
      return raw as Record<string, unknown>;
    },
  };
}
