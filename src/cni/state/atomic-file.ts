import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { messageOf } from '../../base/errors.ts';
import { CniError, CODE } from '../skel/errors.ts';

/** Neither a container's id nor an interface's name holds a colon, so no file of theirs ends like this. */
const DRAFT = ':draft:';

/**
 * Writes a file that is there whole or not at all, also after a loss of power. Of one file there is one writer at a time:
 * runtimes never run two operations on one container at once.
 * @param mode permission bits of the file; its directory is made with 0700
 * @throws CniError 5
 */
export function writeAtomic(file: string, text: string, mode: number): void {
  const draft = `${file}${DRAFT}`;
  try {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    rmSync(draft, { force: true });
    const fd = openSync(draft, 'wx', mode);
    try {
      writeSync(fd, text);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(draft, file);
  } catch (error) {
    rmSync(draft, { force: true });
    throw new CniError(CODE.IO_FAILURE, `write ${file}: ${messageOf(error)}`);
  }
}

/** Removes what a crash may have left of the writing of a file. */
export function removeTemp(file: string): void {
  rmSync(`${file}${DRAFT}`, { force: true });
}

/** Removes a file and its draft. */
export function removeWhole(file: string): void {
  rmSync(file, { force: true });
  removeTemp(file);
}

/** True for the name of a draft: of a write that is under way, or that a crash has left. */
export function isTemp(name: string): boolean {
  return name.endsWith(DRAFT);
}

/** Removes the drafts that crashes have left. For GC, which no ADD overlaps (specification 1.1, "GC"). */
export function removeTemps(directory: string): void {
  let names: string[];
  try {
    names = readdirSync(directory);
  } catch {
    return;
  }
  for (const name of names) if (isTemp(name)) rmSync(`${directory}/${name}`, { force: true });
}
