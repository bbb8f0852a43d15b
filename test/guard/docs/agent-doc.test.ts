import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { withAgent } from '../checks/agent-doc.ts';
import { ROOT } from '../checks/sources.ts';

const PAGE = join(ROOT, 'docs/agent.md');

t.test('docs/agent.md lists every flag and every metric of the agent', async t => {
  const page = readFileSync(PAGE, 'utf8');
  const wanted = withAgent(page);
  if (process.env.UPDATE_DOCS === '1' && wanted !== page) writeFileSync(PAGE, wanted);
  else t.equal(page, wanted, 'UPDATE_DOCS=1 node dist/test/guard/docs/agent-doc.test.js writes it');
});
