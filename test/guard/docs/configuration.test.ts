import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { parseStaticFile } from '../../../src/agent/store/static/static-file.ts';
import { ROOT } from '../checks/sources.ts';
import { fileKeys } from './generated/configuration.ts';
import { withGenerated } from './generated/part.ts';

const PAGE = join(ROOT, 'docs/reference/configuration.md');
const GUIDE = join(ROOT, 'docs/guides/operate/static-peers.md');

t.test('docs/reference/configuration.md lists the keys that there are', async t => {
  const page = readFileSync(PAGE, 'utf8');
  const wanted = withGenerated(page, fileKeys);
  if (process.env.UPDATE_DOCS === '1' && wanted !== page) writeFileSync(PAGE, wanted);
  else t.equal(page, wanted, 'UPDATE_DOCS=1 node dist/test/guard/docs/configuration.test.js writes it');
});

t.test('every example of the guide is a valid configuration', async t => {
  const examples = [...readFileSync(GUIDE, 'utf8').matchAll(/```yaml\n([\s\S]*?)```/g)].map(
    match => match[1]!,
  );
  t.ok(examples.length > 0);
  for (const example of examples) t.doesNotThrow(() => parseStaticFile(example, 'example'), example);
});
