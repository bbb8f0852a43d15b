import { randomBytes } from 'node:crypto';
import { open, readFile, rename, stat, unlink } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { hasCode, RipstopError } from './errors.ts';

/** Work under the lock takes milliseconds; a lock this old belongs to a process that has ended. */
const STALE_MS = 15_000;
const GIVE_UP_MS = 30_000;

/**
 * Runs `work` while this process alone holds `path`, a file made with O_EXCL. That works on local disks and on NFS, and between
 * machines, where flock(2) does not always (`withFlock` of net is for one machine). A lock that an ended process has left is broken
 * after 15 s by the clock of the file server, not by ours.
 * @throws RipstopError ESTORE when the lock cannot be had within 30 s
 */
export async function withLockFile<T>(path: string, work: () => Promise<T>): Promise<T> {
  const token = `${process.pid}.${randomBytes(6).toString('hex')}`;
  const giveUp = performance.now() + GIVE_UP_MS;
  for (let round = 0; !(await take(path, token)); round++) {
    if (performance.now() > giveUp)
      throw new RipstopError(
        'ESTORE',
        `${path} is held by another process`,
        'remove the file if no agent runs',
      );
    if (round % 50 === 49) await breakStale(path, token);
    await sleep(5 + Math.random() * 20);
  }
  try {
    return await work();
  } finally {
    // Only our own lock: after a break it belongs to another process.
    if ((await readFile(path, 'utf8').catch(() => '')) === token) await unlink(path).catch(() => {});
  }
}

async function take(path: string, token: string): Promise<boolean> {
  try {
    const file = await open(path, 'wx', 0o644);
    try {
      await file.writeFile(token);
    } catch (error) {
      await unlink(path).catch(() => {});
      throw error;
    } finally {
      await file.close();
    }
    return true;
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return false;
    throw error;
  }
}

async function breakStale(path: string, token: string): Promise<void> {
  const probe = `${path}.${token}`;
  try {
    const holder = await readFile(path, 'utf8');
    await (await open(probe, 'wx', 0o644)).close();
    const [now, taken] = await Promise.all([stat(probe), stat(path)]);
    if (now.mtimeMs - taken.mtimeMs < STALE_MS) return;
    await rename(path, probe);
    // Two may break at once and the second catch a fresh lock: then it goes back, unless someone was quicker.
    if ((await readFile(probe, 'utf8')) !== holder && !(await exists(path))) await rename(probe, path);
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error;
  } finally {
    await unlink(probe).catch(() => {});
  }
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
