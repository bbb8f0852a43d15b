import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { RipstopError } from '../../base/errors.ts';

/** The page as built, beside the compiled source: dist/page. */
const FOLDER = new URL('../../../page/', import.meta.url);

const TYPES: Readonly<Record<string, string>> = {
  'index.html': 'text/html; charset=utf-8',
  'page.js': 'text/javascript; charset=utf-8',
  'page.css': 'text/css; charset=utf-8',
  'icon.svg': 'image/svg+xml',
};

export interface Asset {
  readonly type: string;
  readonly bytes: Buffer;
}

/** Every file of the page by its path; `/` is the page itself. @throws RipstopError EPAGE */
export function readAssets(): ReadonlyMap<string, Asset> {
  const assets = new Map<string, Asset>();
  for (const [name, type] of Object.entries(TYPES)) {
    const file = fileURLToPath(new URL(name, FOLDER));
    try {
      assets.set(name === 'index.html' ? '/' : `/${name}`, { type, bytes: readFileSync(file) });
    } catch {
      throw new RipstopError('EPAGE', `the page is not built: ${file} is missing`, 'npm run build');
    }
  }
  return assets;
}
