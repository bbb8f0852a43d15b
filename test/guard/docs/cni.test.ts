import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { ROOT } from '../checks/sources.ts';
import { pluginKeys } from './generated/cni.ts';
import { withGenerated } from './generated/part.ts';

const PAGE = join(ROOT, 'docs/reference/cni.md');

t.test('docs/reference/cni.md lists the keys and differences that the plugins have', async t => {
  const page = readFileSync(PAGE, 'utf8');
  const wanted = withGenerated(page, await pluginKeys());
  if (process.env.UPDATE_DOCS === '1' && wanted !== page) writeFileSync(PAGE, wanted);
  else t.equal(page, wanted, 'UPDATE_DOCS=1 node dist/test/guard/docs/cni.test.js writes it');
});
