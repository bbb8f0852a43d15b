import t from 'tap';
import { groupsOf } from '../../runner/groups.ts';

t.test('small files share a process, unless they say that they need their own', async t => {
  const files = ['guard/a', 'unit/a', 'unit/b', 'unit/c', 'vectors/d'].map(
    name => `dist/test/${name}.test.js`,
  );
  const read = (file: string) =>
    file.includes('unit/b')
      ? '// Own process: it counts the memory of the process.\nimport t;'
      : "import t from 'tap';";
  t.strictSame(
    groupsOf(files, read).map(group => group.map(file => file.slice(10, -8))),
    [['guard/a'], ['unit/b'], ['unit/a', 'unit/c', 'vectors/d']],
  );
  const many = Array.from({ length: 25 }, (_, i) => `dist/test/unit/${i}.test.js`);
  const groups = groupsOf(many, () => '');
  t.strictSame(groups.flat(), many);
  t.ok(
    groups.every(({ length }) => length <= 10),
    'at most ten files',
  );
});
