import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { ROOT, sourcesBelow } from '../checks/sources.ts';

/* The native functions say in their comments which capability they need; docs/guides/operate/privileges.md must know of each. */

t.test('docs/guides/operate/privileges.md knows every native call that needs a capability', async t => {
  const page = readFileSync(join(ROOT, 'docs/guides/operate/privileges.md'), 'utf8');
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
