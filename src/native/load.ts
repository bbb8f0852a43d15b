import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import type { Native } from './native.d.ts';

/** The one addon of this process; every worker loads the same file. */
function load(): Native {
  // The build is in the source tree, whether this file is in dist/src/native or in src/native.
  const here = fileURLToPath(new URL('.', import.meta.url));
  const root = here.replace(/(?:dist\/)?src\/native\/$/, '');
  const variant = process.env.RIPSTOP_NATIVE ?? 'Release';
  const file = `${root}src/native/build/${variant}/ripstop.node`;
  try {
    return createRequire(import.meta.url)(file) as Native;
  } catch (error) {
    throw new Error(`the native addon does not load from ${file}; build it with "npm run build"`, {
      cause: error,
    });
  }
}

export const native: Native = load();
