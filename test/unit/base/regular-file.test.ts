import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import {
  appendRegularFile,
  fileSystemAnswers,
  readRegularFile,
} from '../../../src/base/files/regular-file.ts';

t.test('regular files: a text is read and appended to, anything else is refused at once', async t => {
  const directory = mkdtempSync(join(tmpdir(), 'rs-regular-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const file = join(directory, 'file');
  const fifo = join(directory, 'fifo');
  execFileSync('mkfifo', [fifo]);
  appendRegularFile(file, 'one\n', 0o600);
  appendRegularFile(file, 'two\n', 0o600);
  t.equal(readRegularFile(file), 'one\ntwo\n');
  t.equal(readRegularFile('/proc/self/comm').trim(), readFileSync('/proc/self/comm', 'utf8').trim());
  for (const path of [fifo, directory, '/dev/zero', '/dev/tty']) {
    const refusal = { code: 'EINVAL', message: `${path} is not a regular file` };
    t.throws(() => readRegularFile(path), refusal);
    t.throws(() => appendRegularFile(path, 'x', 0o600), refusal);
  }
  t.throws(() => readRegularFile(join(directory, 'none')), { code: 'ENOENT' });
  writeFileSync(file, 'x'.repeat(11));
  t.equal(readRegularFile(file, 11).length, 11);
  t.throws(() => readRegularFile(file, 10), { code: 'EFBIG', message: /has more than 10 bytes/ });
});

t.test('a file system that answers: what is there and what is not', async () => {
  await fileSystemAnswers('/');
  await fileSystemAnswers('/no/such/directory');
});
