import { mkdtempSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { Recordings } from '../../../../src/agent/recorder/recordings.ts';

function recordingsFor(t: { teardown(undo: () => void): void }) {
  const stateDir = mkdtempSync(join(tmpdir(), 'recordings-'));
  t.teardown(() => rmSync(stateDir, { recursive: true }));
  const recordings = new Recordings(stateDir);
  const add = async (second: number, bytes: number) => {
    const path = await recordings.newPath('reset', 'flannel.1/x', new Date(second * 1000));
    writeFileSync(path, '');
    truncateSync(path, bytes);
    return path;
  };
  return { recordings, add };
}

t.test('a directory that does not exist has no recordings', async t => {
  const { recordings } = recordingsFor(t);
  t.same(await recordings.list(), []);
  t.same(await recordings.prune(), []);
  t.equal(await recordings.find('x'), undefined);
});

t.test('the newest come first, and only the owner may look', async t => {
  const { recordings, add } = recordingsFor(t);
  await add(1, 10);
  const path = await add(2, 20);
  t.same(
    (await recordings.list()).map(({ bytes, trigger, at }) => [bytes, trigger, at]),
    [
      [20, 'reset', '1970-01-01T00:00:02.000Z'],
      [10, 'reset', '1970-01-01T00:00:01.000Z'],
    ],
  );
  t.equal(statSync(recordings.directory).mode & 0o777, 0o700);
  t.equal(await recordings.find('19700101T000002000Z-reset-flannel.1_x.pcapng'), path);
});

t.test('the oldest are removed beyond eight files and beyond 32 MiB, other files never', async t => {
  const { recordings, add } = recordingsFor(t);
  for (let second = 1; second <= 10; second++) await add(second, 1000);
  writeFileSync(join(recordings.directory, 'notes.txt'), 'kept');
  t.equal((await recordings.prune()).length, 2);
  t.equal((await recordings.list()).at(-1)?.at, '1970-01-01T00:00:03.000Z');
  await add(20, 31 << 20);
  await add(21, 40 << 20);
  t.equal((await recordings.prune()).length, 9, 'all but the newest, which is too large itself');
  t.same(readdirSync(recordings.directory).sort(), [
    '19700101T000021000Z-reset-flannel.1_x.pcapng',
    'notes.txt',
  ]);
});

t.test('a recording that a killed agent left unfinished is removed, other files stay', async t => {
  const { recordings, add } = recordingsFor(t);
  const path = await add(1, 10);
  writeFileSync(`${path}.part`, '');
  writeFileSync(join(recordings.directory, 'notes.part'), '');
  await recordings.removeUnfinished();
  t.same(readdirSync(recordings.directory).sort(), [
    '19700101T000001000Z-reset-flannel.1_x.pcapng',
    'notes.part',
  ]);
});
