import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Top of the tree; this file is compiled to dist/test/guard. */
export const ROOT = fileURLToPath(new URL('../../../../', import.meta.url));

export interface SourceFile {
  /** From the top of the tree, with `/`. */
  readonly path: string;
  readonly text: string;
}

/** Files below `folder` whose names end in one of `endings`, with their text. */
export function sourcesBelow(folder: string, endings: readonly string[]): SourceFile[] {
  const files: SourceFile[] = [];
  for (const entry of readdirSync(join(ROOT, folder), { withFileTypes: true, recursive: true })) {
    const full = join(entry.parentPath, entry.name);
    const path = relative(ROOT, full);
    if (!entry.isFile() || !endings.some(ending => entry.name.endsWith(ending))) continue;
    if (path.includes('node_modules/') || /^src\/native\/build/.test(path)) continue;
    files.push({ path, text: readFileSync(full, 'utf8') });
  }
  return files.sort((a, b) => a.path.localeCompare(b.path));
}
