/*
 * Builds the agent's web UI (dist/web): one script, one style sheet, one picture, nothing from elsewhere. Run behind the
 * TypeScript compiler by bootstrap.mjs.
 */
import { copyFileSync, existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const source = join(root, 'src/web');
const target = join(root, 'dist/web');

const mtime = file => (existsSync(file) ? statSync(file).mtimeMs : 0);

/**
 * Builds what is older than its sources.
 * @param newest when the youngest source was changed, as `mtimeMs`
 * @param check checks the types; called only when something is built
 */
export async function buildWeb(newest, check) {
  const stamp = join(target, '.built');
  if (mtime(stamp) >= newest) return;
  check();
  mkdirSync(target, { recursive: true });
  for (const name of ['index.html', 'icon.svg']) copyFileSync(join(source, name), join(target, name));
  const { build } = await import('esbuild');
  await build({
    entryPoints: { web: join(source, 'main.tsx') },
    outdir: target,
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    jsx: 'automatic',
    jsxImportSource: 'preact',
    logLevel: 'error',
    legalComments: 'none',
  });
  await build({
    entryPoints: { web: join(source, 'styles/main.css') },
    outdir: target,
    bundle: true,
    minify: true,
    target: ['chrome123', 'firefox120', 'safari17.5'],
    logLevel: 'error',
  });
  // What did not change is not written again, so the files do not tell when they were built.
  writeFileSync(stamp, '');
}
