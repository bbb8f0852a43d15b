import { join } from 'node:path';
import t from 'tap';
import { CHECKOUT } from '../../../bench/lab/tool.ts';
import { testsReachedBy, usedBy } from '../../runner/watch.ts';

const at = (path: string) => join(CHECKOUT, 'dist', path);

t.test('what a compiled module uses: imports, workers, programs', async t => {
  // The guard of imports reads this file too, and looks for the files that a plain text would name.
  const quoted = (path: string) => `'${path}'`;
  const text = [
    `import { a } from ${quoted('./a.js')};`,
    `import ${quoted('./b.js')};`,
    `export * from ${quoted('../c.js')};`,
    `const d = await import(${quoted('./d.js')});`,
    `new Worker(new URL(${quoted('./worker.js')}, import.meta.url));`,
    `launch([process.execPath, \`\${CHECKOUT}dist/src/cli/main.js\`]);`,
    "import t from 'tap'; import { join } from 'node:path'; new URL('../web/', import.meta.url);",
  ].join('\n');
  t.strictSame(
    usedBy(at('src/x/y.js'), text),
    ['src/x/a.js', 'src/x/b.js', 'src/c.js', 'src/x/d.js', 'src/x/worker.js', 'src/cli/main.js'].map(at),
  );
});

t.test('the tests that use what changed, directly or through others', async t => {
  const importers = new Map(
    Object.entries({
      'src/a.js': ['src/b.js', 'test/unit/a.test.js'],
      // A cycle ends.
      'src/b.js': ['src/a.js', 'test/fixtures/f.js'],
      'test/fixtures/f.js': ['test/vectors/v.test.js', 'test/unit/a.test.js'],
      'src/other.js': ['test/unit/other.test.js'],
    }).map(([used, users]) => [at(used), users.map(at)] as const),
  );
  t.strictSame(testsReachedBy([at('src/a.js')], importers), ['unit/a', 'vectors/v']);
  t.strictSame(testsReachedBy([at('test/fixtures/f.js')], importers), ['unit/a', 'vectors/v']);
  t.strictSame(testsReachedBy([at('test/unit/a.test.js')], importers), ['unit/a'], 'an edited test itself');
  t.strictSame(testsReachedBy([at('src/nothing.js')], importers), []);
});
