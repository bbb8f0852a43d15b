import { randomBytes } from 'node:crypto';
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { mkdir, open, rename, stat, unlink } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { hasCode, messageOf, toError } from './errors.ts';

/*
 * Files that are replaced: a reader sees the old content or the new one, also after a power cut. The new content is written to
 * a temporary file in the same directory, synced, and renamed. On failure (disk full) the old file stays.
 */

/** Suffix of the name of a temporary file. No name of a container or interface has a colon. */
const TEMP = ':.tmp';

/** As `writeFileAtomicSync`, for a file that several processes may write; the rename is durable when the promise is fulfilled. */
export async function writeFileAtomic(path: string, text: string, mode = 0o644): Promise<void> {
  const directory = dirname(path);
  await mkdir(directory, { recursive: true });
  const temporary = `${path}.${process.pid}.${randomBytes(4).toString('hex')}${TEMP}`;
  try {
    const file = await open(temporary, 'wx', mode);
    try {
      await file.writeFile(text);
      // Set again because open() masks the mode with the umask.
      await file.chmod(mode);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await unlink(temporary).catch(() => {});
    throw aboutFile(path, error);
  }
  await syncDirectory(directory);
}

/**
 * Replaces a file of which there is one writer at a time: its temporary file has one name, by which `removeWithTemp` finds what
 * a crash has left.
 * @param mode permission bits of the file; its directory is made with 0700
 */
export function writeFileAtomicSync(path: string, content: string | Uint8Array, mode: number): void {
  const temporary = `${path}${TEMP}`;
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    // Removed and not overwritten: it may be another name of a file that is in use.
    rmSync(temporary, { force: true });
    const fd = openSync(temporary, 'wx', mode);
    try {
      writeFileSync(fd, content);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw aboutFile(path, error);
  }
}

/** Removes what a crash may have left of the writing of a file by `writeFileAtomicSync`. */
export function removeTemp(path: string): void {
  rmSync(`${path}${TEMP}`, { force: true });
}

/** Removes a file of `writeFileAtomicSync`, and what a crash may have left of its writing. */
export function removeWithTemp(path: string): void {
  rmSync(path, { force: true });
  removeTemp(path);
}

/** Removes the temporary files that crashes have left in a directory. Not while files in it may be written. */
export function removeTemps(directory: string): void {
  for (const name of namesIn(directory))
    if (name.endsWith(TEMP)) rmSync(`${directory}/${name}`, { force: true });
}

/**
 * Removes what processes of this machine that were killed have left of the writing of a file by `writeFileAtomic`. A process
 * calls it before it writes the file for the first time: what has its own number is of an earlier process.
 */
export function removeStaleTemps(path: string): void {
  const directory = dirname(path);
  for (const name of namesIn(directory)) {
    const pid = writerOf(name, basename(path));
    if (pid !== undefined && (pid === process.pid || !isAlive(pid)))
      rmSync(`${directory}/${name}`, { force: true });
  }
}

/**
 * Removes temporary files of a directory that several machines share: those that were written before a time.
 * @param name of the file; absent: of all files
 * @param before by the clock of the file server, ms
 */
export async function removeOldTemps(directory: string, before: number, name?: string): Promise<void> {
  for (const found of namesIn(directory)) {
    if (writerOf(found, name) === undefined) continue;
    const path = `${directory}/${found}`;
    const written = await stat(path).catch(() => undefined);
    if (written && written.mtimeMs < before) await unlink(path).catch(() => {});
  }
}

/** Number of the process that wrote a temporary file of `writeFileAtomic`; undefined for another file. */
function writerOf(name: string, target?: string): number | undefined {
  const match = /^(.+)\.(\d+)\.[0-9a-f]{8}:?\.tmp$/.exec(name);
  return match && (target === undefined || match[1] === target) ? Number(match[2]) : undefined;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return !hasCode(error, 'ESRCH');
  }
}

/** Names of the files in a directory without temporary ones; none where it cannot be read. */
export function listFiles(directory: string): string[] {
  return namesIn(directory).filter(name => !name.endsWith(TEMP));
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

/** The error with the name of the file, not of the temporary one, which differs each time: a repeated error is logged once. */
function aboutFile(path: string, error: unknown): Error {
  const [problem] = messageOf(error).split(', ', 1);
  return Object.assign(toError(error), { message: `${path}: ${problem}`, path });
}

/** Makes renames and unlinks in a directory durable; silently nothing where the file system cannot. */
async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r').catch(() => undefined);
  if (!handle) return;
  try {
    await handle.sync();
  } catch {
    // Some network file systems refuse fsync on a directory; the rename itself is still atomic there.
  } finally {
    await handle.close();
  }
}
