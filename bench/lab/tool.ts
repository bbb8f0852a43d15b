import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { RipstopError } from '../../src/base/errors.ts';

/** The checkout: this file runs as `dist/bench/lab/tool.js`. */
export const CHECKOUT = fileURLToPath(new URL('../../../', import.meta.url));

/** Path of one of the small programs of `bench/tools`, which the set-up compiles. */
export function tool(name: string): string {
  const file = `${CHECKOUT}dist/tools/${name}`;
  if (existsSync(file)) return file;
  throw new RipstopError('ENOENT', `the program ${file} is missing`, 'run "npm run build"');
}
