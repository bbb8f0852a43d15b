import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { addonFile, addonRemedy } from './addon-file.ts';
import type { Native } from './native.d.ts';

/** The one addon of this process; every worker loads the same file. */
function load(): Native {
  // The addons have their place from the root of the package, whether this file is in dist/src/native or in src/native.
  const here = fileURLToPath(new URL('.', import.meta.url));
  const root = here.replace(/(?:dist\/)?src\/native\/$/, '');
  const file = addonFile(root);
  try {
    // Not `require`, whose search and loader take three times as long.
    const addon = { exports: {} };
    process.dlopen(addon, file);
    return addon.exports as Native;
  } catch (error) {
    const fault = existsSync(file)
      ? `the native addon does not load from ${file}`
      : `there is no native addon for ${process.platform}-${process.arch}: ${file} is missing`;
    throw new Error(`${fault}; ${addonRemedy(root)}`, { cause: error });
  }
}

export const native: Native = load();
