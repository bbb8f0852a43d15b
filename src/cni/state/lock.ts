import { closeSync, constants, mkdirSync, openSync } from 'node:fs';
import { messageOf } from '../../base/errors.ts';
import { flock, LOCK_EX, LOCK_NB } from '../../net/file-lock.ts';
import { CniError, CODE } from '../skel/errors.ts';

const EWOULDBLOCK = 11;
const EINTR = 4;

/** Longest wait between two tries, ms: the section that the lock guards takes about one. */
const MAX_PAUSE_MS = 8;
/** Longest wait for the lock, ms: below the limit of the executable (120 s), so that the runtime gets the reason. */
const WAIT_MS = 100_000;

/**
 * Holds flock(2) on `<directory>/lock` while `work` runs: for host-local the reference plugin's own lock, so that both
 * programs can share a directory. The wait does not block the thread: inside the agent other requests go on.
 * @throws CniError 5 when the directory or its lock cannot be had, 11 when another process keeps the lock
 */
export async function withLock<T>(
  directory: string,
  work: () => T | Promise<T>,
  waitMs = WAIT_MS,
): Promise<T> {
  let fd: number;
  try {
    mkdirSync(directory, { recursive: true, mode: 0o755 });
    fd = openSync(`${directory}/lock`, constants.O_RDWR | constants.O_CREAT, 0o750);
  } catch (error) {
    throw new CniError(CODE.IO_FAILURE, `lock of ${directory}: ${messageOf(error)}`);
  }
  try {
    const deadline = Date.now() + waitMs;
    for (let pause = 1; ; pause = Math.min(pause * 2, MAX_PAUSE_MS)) {
      const outcome = flock(fd, LOCK_EX | LOCK_NB);
      if (outcome === 0) break;
      if (outcome !== -EWOULDBLOCK && outcome !== -EINTR) {
        throw new CniError(CODE.IO_FAILURE, `lock of ${directory}: flock failed with errno ${-outcome}`);
      }
      if (Date.now() >= deadline) {
        throw new CniError(
          CODE.TRY_AGAIN_LATER,
          `lock of ${directory}: another process has held it for ${Math.round(waitMs / 1000)} s`,
          `find it with: fuser -v ${directory}/lock`,
        );
      }
      await new Promise(wake => setTimeout(wake, pause * (0.5 + Math.random() / 2)));
    }
    return await work();
  } finally {
    closeSync(fd);
  }
}
