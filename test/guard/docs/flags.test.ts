import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { ROOT } from '../checks/sources.ts';
import { flags } from './generated/flags.ts';
import { withGenerated } from './generated/part.ts';

const PAGE = join(ROOT, 'docs/reference/flags.md');

t.test('docs/reference/flags.md lists every flag of the agent', async t => {
  const page = readFileSync(PAGE, 'utf8');
  const wanted = withGenerated(page, flags);
  if (process.env.UPDATE_DOCS === '1' && wanted !== page) writeFileSync(PAGE, wanted);
  else t.equal(page, wanted, 'UPDATE_DOCS=1 node dist/test/guard/docs/flags.test.js writes it');
});
