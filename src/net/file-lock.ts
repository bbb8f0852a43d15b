import { closeSync, constants, mkdirSync, openSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { errnoName, messageOf, RipstopError, toError } from '../base/errors.ts';
import { native } from '../native/load.ts';

/** flock(2) operations (sys/file.h). */
const LOCK_EX = 2;
const LOCK_NB = 4;

const EWOULDBLOCK = 11;
const EINTR = 4;

/** Longest wait between two tries, ms: the section that the lock guards takes about one. */
const MAX_PAUSE_MS = 8;
/** Longest wait for the lock, ms: below the limit of the CNI executable (120 s), so that the runtime gets the reason. */
const WAIT_MS = 100_000;

/**
 * Holds flock(2) on `<directory>/lock` while `work` runs. The lock ends with the process, and excludes every program of this
 * machine that uses flock(2), as the reference plugins do. The wait does not block the thread: inside the agent other requests
 * go on. Between machines `withLockFile` excludes.
 * @throws errors of the file system; RipstopError EAGAIN when another process keeps the lock
 */
export async function withFlock<T>(
  directory: string,
  work: () => T | Promise<T>,
  waitMs = WAIT_MS,
): Promise<T> {
  const path = `${directory}/lock`;
  const fd = open(directory, path);
  try {
    const deadline = Date.now() + waitMs;
    for (let pause = 1; ; pause = Math.min(pause * 2, MAX_PAUSE_MS)) {
      const errno = -native.fileLock(fd, LOCK_EX | LOCK_NB);
      if (errno === 0) break;
      if (errno !== EWOULDBLOCK && errno !== EINTR) {
        const code = errnoName(errno);
        throw Object.assign(new Error(`${code}: flock '${path}'`), { code, errno, syscall: 'flock', path });
      }
      if (Date.now() >= deadline) {
        throw new RipstopError(
          'EAGAIN',
          `lock of ${directory}: another process has held it for ${Math.round(waitMs / 1000)} s`,
          `find it with: fuser -v ${path}`,
        );
      }
      await sleep(pause * (0.5 + Math.random() / 2));
    }
    return await work();
  } finally {
    closeSync(fd);
  }
}

function open(directory: string, path: string): number {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o755 });
    return openSync(path, constants.O_RDWR | constants.O_CREAT, 0o750);
  } catch (error) {
    throw Object.assign(toError(error), { message: `lock of ${directory}: ${messageOf(error)}` });
  }
}
