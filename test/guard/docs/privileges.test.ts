import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { ROOT, sourcesBelow } from '../checks/sources.ts';

/*
 * The native functions say in their comments which capability they need; docs/guides/operate/privileges.md must know of each,
 * and of no other function.
 */

const page = readFileSync(join(ROOT, 'docs/guides/operate/privileges.md'), 'utf8');

t.test('docs/guides/operate/privileges.md knows every native call that needs a capability', async t => {
  let found = 0;
  for (const { path, text } of sourcesBelow('src/native', ['.cc'])) {
    for (const [block] of text.matchAll(/(?:^\/\/.*\n)+/gm)) {
      const capability = /Capability: (CAP_[A-Z_]+)/.exec(block)?.[1];
      const name = /^\/\/ ([a-z]\w+)\(/m.exec(block)?.[1];
      if (!capability || !name) continue;
      found++;
      const row = page.split('\n').find(line => line.startsWith('|') && line.includes(`\`${name}\``));
      t.match(row ?? '', capability, `${path}: ${name} needs ${capability}`);
    }
  }
  t.ok(found >= 4, `${found} calls with a capability`);
});

t.test('docs/guides/operate/privileges.md names no native call that does not exist', async t => {
  const table = readFileSync(join(ROOT, 'src/native/addon.cc'), 'utf8');
  const exported = [...table.matchAll(/^ {2}X\(([a-z]\w*), [A-Z]\w*\)/gm)].map(([, name]) => name);
  t.ok(exported.includes('tunOpen') && exported.includes('closeFd'), `${exported.length} native calls`);
  const first = page.split('\n').flatMap(line => /^\|([^|]*)\|/.exec(line)?.[1] ?? []);
  // Native calls are in camel case; programs and settings of the kernel are not.
  const named = first.flatMap(cell => [...cell.matchAll(/`([a-z]+[A-Z]\w*)`/g)].map(([, name]) => name));
  t.ok(named.length >= 6, `${named.length} names`);
  t.same(
    named.filter(name => !exported.includes(name)),
    [],
  );
});
