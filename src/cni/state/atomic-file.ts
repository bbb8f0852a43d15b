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
import { CniError, CODE } from '../skel/errors.ts';

/**
 * Writes a file that is there whole or not at all, also after a loss of power.
 * @param mode permission bits of the file; its directory is made with 0700
 * @throws CniError 5
 */
export function writeAtomic(file: string, text: string, mode: number): void {
  const draft = `${file}.${process.pid}.${Math.random().toString(36).slice(2, 8)}.tmp`;
  try {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
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
    throw new CniError(CODE.IO_FAILURE, `write ${file}: ${(error as Error).message}`);
  }
}

/** True for the name of a draft: of a write that is under way, or that a crash has left. */
export function isDraft(name: string): boolean {
  return name.endsWith('.tmp');
}

/** Removes the drafts that crashes have left. For GC, which no ADD overlaps (specification 1.1, "GC"). */
export function removeDrafts(directory: string): void {
  let names: string[];
  try {
    names = readdirSync(directory);
  } catch {
    return;
  }
  for (const name of names) if (isDraft(name)) rmSync(`${directory}/${name}`, { force: true });
}
