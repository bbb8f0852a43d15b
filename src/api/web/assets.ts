import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { RipstopError } from '../../base/errors.ts';

/** The built web UI: dist/web. */
const FOLDER = new URL('../../../web/', import.meta.url);

const TYPES: Readonly<Record<string, string>> = {
  'index.html': 'text/html; charset=utf-8',
  'web.js': 'text/javascript; charset=utf-8',
  'web.css': 'text/css; charset=utf-8',
  'icon.svg': 'image/svg+xml',
};

export interface Asset {
  readonly type: string;
  readonly bytes: Buffer;
}

/** Every file of the web UI by its path; `/` is index.html. @throws RipstopError EWEB */
export function readAssets(): ReadonlyMap<string, Asset> {
  const assets = new Map<string, Asset>();
  for (const [name, type] of Object.entries(TYPES)) {
    const file = fileURLToPath(new URL(name, FOLDER));
    try {
      assets.set(name === 'index.html' ? '/' : `/${name}`, { type, bytes: readFileSync(file) });
    } catch {
      throw new RipstopError(
        'EWEB',
        `the web UI is not built: ${file} is missing`,
        'in a checkout run "npm run build", otherwise install the package again',
      );
    }
  }
  return assets;
}
