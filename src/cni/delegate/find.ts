import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs';
import { CniError, CODE } from '../skel/errors.ts';

/** The last bytes of an executable that `ripstop cni install` wrote. */
export const RIPSTOP_MARK = 'ripstop-cni-plugin';

/** The executable of a plugin type, looked for in CNI_PATH from left to right. @throws CniError 7 for an unsafe type */
export function lookForPlugin(type: string, path: readonly string[]): string | undefined {
  if (type === '' || type.includes('/') || type === '.' || type === '..') {
    throw new CniError(
      CODE.INVALID_CONFIG,
      `invalid plugin name: ${JSON.stringify(type)}`,
      'a type is a bare file name',
    );
  }
  return path
    .map(directory => `${directory}/${type}`)
    .find(file => statSync(file, { throwIfNoEntry: false })?.isFile());
}

/** @throws CniError 7 for an unsafe type, 4 without directories, 999 when none has it */
export function findPlugin(type: string, path: readonly string[]): string {
  const file = lookForPlugin(type, path);
  if (file !== undefined) return file;
  if (path.length === 0) throw new CniError(CODE.INVALID_ENVIRONMENT, 'no paths provided', 'set CNI_PATH');
  throw new CniError(CODE.INTERNAL, `failed to find plugin "${type}" in path [${path.join(' ')}]`);
}

/** True for an executable of this program, which can run in this process without a start of Node. */
export function isRipstopPlugin(file: string): boolean {
  const tail = Buffer.alloc(RIPSTOP_MARK.length);
  const fd = openSync(file, 'r');
  try {
    const { size } = fstatSync(fd);
    const count = readSync(fd, tail, 0, tail.length, Math.max(0, size - tail.length));
    return tail.toString('latin1', 0, count) === RIPSTOP_MARK;
  } finally {
    closeSync(fd);
  }
}
