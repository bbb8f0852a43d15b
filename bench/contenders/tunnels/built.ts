import { accessSync, constants, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { findProgram } from '../../../src/lab/programs.ts';
import { CHECKOUT } from '../../lab/tool.ts';

/** Folder of the programs that `npm run bench:rivals` builds. Git ignores it, and the bench searches it before the path. */
export const BUILT = `${CHECKOUT}dist/rivals`;
/** File in that folder: the module version of each program by its name. What they print is often the version of a release long ago. */
export const VERSIONS = 'versions.json';

/** Path of a rival's program, of what was built before what is installed; undefined where there is none. */
export function findRival(name: string, folder = BUILT): string | undefined {
  const built = join(folder, name);
  try {
    accessSync(built, constants.X_OK);
    return built;
  } catch {
    return findProgram(name);
  }
}

/** Module version of a program that was built here; undefined for one that comes from the path. */
export function builtVersion(name: string, folder = BUILT): string | undefined {
  if (findRival(name, folder) !== join(folder, name)) return undefined;
  try {
    return (JSON.parse(readFileSync(join(folder, VERSIONS), 'utf8')) as Record<string, string>)[name];
  } catch {
    return undefined;
  }
}
