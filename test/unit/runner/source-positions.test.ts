import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { CHECKOUT } from '../../../bench/lab/tool.ts';
import { withSourcePositions } from '../../runner/source-positions.ts';

const PATH = 'test/unit/runner/source-positions.test.ts';

t.test('a line of a stack names file and line of the source', async t => {
  const { stack = '' } = new Error('here');
  const line = stack.split('\n').find(each => each.includes('source-positions.test.js')) ?? stack;
  const source = readFileSync(join(CHECKOUT, PATH), 'utf8').split('\n');
  const number = source.findIndex(each => each.includes("new Error('here')")) + 1;
  t.match(withSourcePositions(line), `(${PATH}:${number}:`);
  t.match(withSourcePositions(`(dist/${PATH.replace('.ts', '.js')}:1:1)`), `(${PATH}:1:1)`);
});

t.test('a position without a source map, and other text, stay', async t => {
  for (const line of ['at dist/none.js:5:1', 'at node:internal/x:1:2', '2 of 3 in dist/none.js'])
    t.equal(withSourcePositions(line), line);
});
