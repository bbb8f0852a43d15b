import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  readFileSync,
  type Stats,
  stat,
  statSync,
  writeSync,
} from 'node:fs';
import { RipstopError } from '../errors.ts';

/*
 * Files whose path an administrator or another program has chosen. Behind such a path may be a FIFO, a device or a directory, and
 * a file server that does not answer: none of them may stop a process that has other work.
 */

/** Largest file that is read unless a caller names another limit, bytes. */
const READ_MAX = 1 << 20;

/** Longest wait for a file system, ms. */
const ANSWER_MS = 10_000;

/** @throws RipstopError EINVAL for anything but a regular file; errors of the file system */
function withRegularFile<T>(path: string, flags: number, mode: number, use: (fd: number) => T): T {
  const check = (found: Stats | undefined): void => {
    if (found && !found.isFile()) throw new RipstopError('EINVAL', `${path} is not a regular file`);
  };
  // Before it is opened, because opening a device can have an effect, and again afterwards.
  check(statSync(path, { throwIfNoEntry: false }));
  const fd = openSync(path, flags | constants.O_NONBLOCK | constants.O_NOCTTY, mode);
  try {
    check(fstatSync(fd));
    return use(fd);
  } finally {
    closeSync(fd);
  }
}

/**
 * The text of a regular file.
 * @throws RipstopError EINVAL for a FIFO, device or directory, EFBIG for more than `max` bytes; errors of the file system
 */
export function readRegularFile(path: string, max = READ_MAX): string {
  return readRegularBytes(path, max).toString('utf8');
}

/** As `readRegularFile`, for a file that is not text. */
export function readRegularBytes(path: string, max: number): Buffer {
  return withRegularFile(path, constants.O_RDONLY, 0, fd => {
    if (fstatSync(fd).size > max) throw new RipstopError('EFBIG', `${path} has more than ${max} bytes`);
    return readFileSync(fd);
  });
}

/**
 * Appends to a regular file, which is created with `mode` if it is missing.
 * @throws RipstopError EINVAL for a FIFO, device or directory; errors of the file system
 */
export function appendRegularFile(path: string, text: string, mode: number): void {
  const flags = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT;
  withRegularFile(path, flags, mode, fd => writeSync(fd, text));
}

/** Paths whose file system is being asked. A question has a thread of Node's pool until it is answered, so each path has one. */
const asked = new Map<string, Promise<void>>();

/**
 * Waits until the file system of a path has answered a question. The synchronous calls that follow would otherwise wait on the
 * main thread for a file server that is away. Whether the path exists does not matter.
 * @throws RipstopError EAGAIN without an answer within `limitMs`
 */
export async function fileSystemAnswers(path: string, limitMs = ANSWER_MS): Promise<void> {
  const answer = asked.get(path) ?? ask(path);
  let timer: NodeJS.Timeout | undefined;
  const isLate = await Promise.race([
    answer.then(() => false),
    new Promise<boolean>(resolve => {
      timer = setTimeout(resolve, limitMs, true);
    }),
  ]);
  clearTimeout(timer);
  if (!isLate) return;
  throw new RipstopError(
    'EAGAIN',
    `the file system of ${path} has not answered within ${limitMs / 1000} s`,
    'is it on a file server that is away?',
  );
}

function ask(path: string): Promise<void> {
  const answer = new Promise<void>(resolve => {
    stat(path, () => {
      asked.delete(path);
      resolve();
    });
  });
  asked.set(path, answer);
  return answer;
}
