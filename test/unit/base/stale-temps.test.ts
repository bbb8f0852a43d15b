import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { StateDir } from '../../../src/agent/inputs/state-dir.ts';
import { removeStaleTemps, writeFileAtomic } from '../../../src/base/atomic-file.ts';
import { runCommand } from '../../../src/net/command.ts';

/** Number of a process that has ended. */
const DEAD = spawnSync('true').pid;

t.test('temporary files of killed processes (H23): removed, those of others stay', async t => {
  const directory = mkdtempSync(join(tmpdir(), 'rs-temp-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const temp = (name: string, pid: number) => `${name}.${pid}.0a1b2c3d:.tmp`;
  const files = [
    temp('last-known.json', DEAD),
    temp('vtep.json', process.pid),
    temp('devices.json', process.ppid),
    temp('other.json', DEAD),
    'last-known.json.tmp',
  ];
  for (const name of files) writeFileSync(join(directory, name), 'x');
  new StateDir(directory).removeStaleTemps();
  t.same(readdirSync(directory).sort(), [files[4], files[2], files[3]].sort());
  removeStaleTemps(join(directory, 'other.json'));
  t.notOk(readdirSync(directory).includes(files[3]!));
  await writeFileAtomic(join(directory, 'other.json'), 'new');
  t.ok(readdirSync(directory).includes('other.json'));
  removeStaleTemps(join(directory, 'absent', 'file'));
});

t.test('the input of a program (H23): a file without a name', async t => {
  const { stdout } = await runCommand('sh', ['-c', 'cat; readlink /proc/self/fd/0'], { input: 'text\n' });
  t.match(stdout, /^text\n.*\(deleted\)\n$/);
  t.notMatch(stdout, /ripstop-input/, 'it never had one');
});
