import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import t from 'tap';
import { ROOT } from './checks/sources.ts';

function biome(args: readonly string[], input = '') {
  return spawnSync(join(ROOT, 'node_modules/.bin/biome'), args, { cwd: ROOT, encoding: 'utf8', input });
}

t.test('the formatter and the linter have nothing to say', async t => {
  const { status, stdout, stderr } = biome(['check', '--colors=off', '--max-diagnostics=20', '.']);
  if (status !== 0) for (const line of `${stdout}${stderr}`.split('\n')) t.comment(line);
  t.equal(status, 0, 'npx biome check --write <file> repairs most');
});

t.test('the check would speak up, by the rules of this house', async t => {
  const { stdout } = biome(['format', '--stdin-file-path=src/x.ts'], 'export  const a = "b"\n');
  t.equal(stdout, "export const a = 'b';\n");
});
