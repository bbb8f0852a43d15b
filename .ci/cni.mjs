/*
 * Makes what stands in /opt/cni/bin: one bundle of all plugins with its compile cache, the launcher, and the thin
 * executable. Run behind the TypeScript compiler by bootstrap.mjs.
 */
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findCommand } from './apt.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const at = (...parts) => join(root, ...parts);
const target = at('dist/cni');

const mtime = file => (existsSync(file) ? statSync(file).mtimeMs : 0);

function newest(folder) {
  const entries = readdirSync(folder, { withFileTypes: true });
  return Math.max(
    0,
    ...entries.map(entry => {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) return entry.name === 'build' ? 0 : newest(path);
      return /\.(ts|c|cjs)$/.test(entry.name) ? mtime(path) : 0;
    }),
  );
}

/** Builds what is older than its sources. @returns undefined, or why it cannot be built */
export async function buildCni() {
  const sources = Math.max(...['src/base', 'src/net', 'src/native', 'src/cni'].map(room => newest(at(room))));
  const cache = join(target, `plugins-${process.version}-${process.arch}.cache`);
  if (Math.min(mtime(join(target, 'shim')), mtime(cache)) >= sources) return undefined;
  mkdirSync(target, { recursive: true });
  copyFileSync(at('src/cni/shim/launch.cjs'), join(target, 'launch.cjs'));
  const { build } = await import('esbuild');
  await build({
    entryPoints: [at('src/cni/process.ts')],
    outfile: join(target, 'plugins.cjs'),
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'cjs',
    // A script that comes from a compile cache has no loader for `import()`.
    supported: { 'dynamic-import': false },
    logLevel: 'error',
    // The addon is looked for from where its loader would stand.
    define: { 'import.meta.url': 'loaderUrl' },
    banner: {
      js: "const loaderUrl = require('node:url').pathToFileURL(require('node:path').join(__dirname, '../src/native/load.js')).href;",
    },
  });
  const cached = spawnSync(process.execPath, [join(target, 'launch.cjs'), '--cache'], { encoding: 'utf8' });
  if (cached.status !== 0) return `compile cache of the CNI plugins: ${cached.stderr}`;
  const compiler = findCommand('cc') ?? findCommand('gcc') ?? findCommand('clang');
  if (!compiler) return 'the CNI executable needs a C compiler';
  const flags = ['-std=gnu11', '-O2', '-Wall', '-Wextra', '-Werror'];
  const compiled = spawnSync(compiler, [...flags, '-o', join(target, 'shim'), at('src/cni/shim/shim.c')], {
    encoding: 'utf8',
  });
  return compiled.status === 0 ? undefined : `the CNI executable: ${compiled.stderr}`;
}
