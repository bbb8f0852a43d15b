import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { ROOT } from '../checks/sources.ts';
import { jsonKeys, renderSchemas, SCHEMAS, type Schema } from './generated/json.ts';
import { withGenerated } from './generated/part.ts';

t.test('docs/reference/json.md and json-schema.json are generated from the formats', async t => {
  const page = join(ROOT, 'docs/reference/json.md');
  for (const [path, wanted] of [
    [page, withGenerated(readFileSync(page, 'utf8'), jsonKeys)],
    [join(ROOT, 'docs/reference/json-schema.json'), renderSchemas()],
  ] as const) {
    if (process.env.UPDATE_DOCS === '1') writeFileSync(path, wanted);
    t.equal(
      readFileSync(path, 'utf8'),
      wanted,
      `UPDATE_DOCS=1 node dist/test/guard/docs/json.test.js writes ${path}`,
    );
  }
});

t.test('every key of every format has a type and a meaning', async t => {
  const check = (schema: Schema, path: string): void => {
    for (const [key, value] of Object.entries(schema.properties ?? {})) {
      const at = `${path}.${key}`;
      if (value.const === undefined) t.ok(value.description, `${at} has a meaning`);
      check(value, at);
    }
    for (const inner of [schema.items, schema.additionalProperties || undefined, ...(schema.anyOf ?? [])])
      if (inner) check(inner, path);
    t.ok(schema.type ?? schema.enum ?? schema.const ?? schema.anyOf, `${path} has a type`);
  };
  for (const [format, schema] of Object.entries(SCHEMAS)) check(schema, format);
});
