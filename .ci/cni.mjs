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
      return /\.(ts|c|h|cjs)$/.test(entry.name) ? mtime(path) : 0;
    }),
  );
}

/** Builds what is older than its sources. @returns undefined, or why it cannot be built */
export async function buildCni() {
  const sources = Math.max(
    ...['encap', 'src/base', 'src/ip', 'src/net', 'src/native', 'src/cni'].map(folder => newest(at(folder))),
  );
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
    // Read at each start. Names stay, for stack traces.
    minifyWhitespace: true,
    minifySyntax: true,
    // A script that comes from a compile cache has no loader for `import()`.
    supported: { 'dynamic-import': false },
    logLevel: 'error',
    // A third of all code, which only an allow-list of tuning needs.
    external: ['re2js'],
    // The addon is looked for from where its loader would stand.
    define: { 'import.meta.url': 'loaderUrl' },
    banner: {
      js: "const loaderUrl = require('node:url').pathToFileURL(require('node:path').join(__dirname, '../src/native/load.js')).href;",
    },
  });
  await build({
    entryPoints: ['re2js'],
    outfile: join(target, 're2js.cjs'),
    absWorkingDir: root,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'cjs',
    minifyWhitespace: true,
    minifySyntax: true,
    logLevel: 'error',
  });
  const cached = spawnSync(process.execPath, [join(target, 'launch.cjs'), '--cache'], { encoding: 'utf8' });
  if (cached.status !== 0) return `compile cache of the CNI plugins: ${cached.stderr}`;
  return compileShim();
}

/** Refuses what a compiler warns of, and hardens what reads a runtime's input as root. */
const FLAGS = [
  ...['-std=gnu11', '-O2', '-Wall', '-Wextra', '-Werror', '-U_FORTIFY_SOURCE', '-D_FORTIFY_SOURCE=2'],
  '-fstack-protector-strong',
  ...[
    '-ffunction-sections',
    '-fdata-sections',
    '-Wl,--gc-sections',
    '-Wl,-z,relro,-z,now,-z,noexecstack',
    '-s',
  ],
];

/**
 * Flags for jumps and returns that the processor checks, where it can: CET of x86, BTI and PAC of arm64. The conditions of
 * binding.gyp have the same.
 */
export function controlFlow(arch) {
  if (arch === 'x64') return ['-fcf-protection=full'];
  return arch === 'arm64' ? ['-mbranch-protection=standard'] : [];
}

/** Static: the host that it is copied to may have an older glibc, another libc, or no loader at all. */
const STATIC = [
  ['-fPIE', '-static-pie'],
  ['-fno-pie', '-static'],
];

/** Arguments of a C compiler that makes the executable, static in a way of `STATIC`. */
export function shimArguments(file, linking = STATIC[0]) {
  const folder = at('src/cni/shim');
  const sources = readdirSync(folder).filter(name => name.endsWith('.c'));
  return [...FLAGS, ...linking, '-o', file, ...sources.map(name => join(folder, name))];
}

function compileShim() {
  const compiler = findCommand('cc') ?? findCommand('gcc') ?? findCommand('clang');
  if (!compiler) return 'the CNI executable needs a C compiler';
  let trouble = '';
  for (const linking of STATIC) {
    const compiled = spawnSync(
      compiler,
      shimArguments(join(target, 'shim'), [...linking, ...controlFlow(process.arch)]),
      {
        encoding: 'utf8',
      },
    );
    if (compiled.status === 0) return undefined;
    trouble ||= compiled.stderr;
  }
  return `the CNI executable: ${trouble}\nIt is linked statically: Debian's libc6-dev, Fedora's glibc-static or musl brings what that takes.`;
}
