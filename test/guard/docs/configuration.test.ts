import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { parseStaticFile } from '../../../src/agent/store/static/static-file.ts';
import { withFileKeys } from '../checks/configuration-doc.ts';
import { ROOT } from '../checks/sources.ts';

const PAGE = join(ROOT, 'docs/configuration.md');

t.test('docs/configuration.md lists the keys that there are', async t => {
  const page = readFileSync(PAGE, 'utf8');
  const wanted = withFileKeys(page);
  if (process.env.UPDATE_DOCS === '1' && wanted !== page) writeFileSync(PAGE, wanted);
  else t.equal(page, wanted, 'UPDATE_DOCS=1 node dist/test/guard/docs/configuration.test.js writes it');
});

t.test('every example on the page is a valid configuration', async t => {
  const examples = [...readFileSync(PAGE, 'utf8').matchAll(/```yaml\n([\s\S]*?)```/g)].map(
    match => match[1]!,
  );
  t.ok(examples.length > 0);
  for (const example of examples) t.doesNotThrow(() => parseStaticFile(example, 'example'), example);
});
