/*
 * npm runs this when it installs the package. It does nothing where a prebuilt addon loads; elsewhere it compiles the
 * addon for this Node, with npm's own node-gyp. In a checkout it does nothing: `npm run build` compiles the addon there.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));
const finder = join(root, 'dist/src/native/addon-file.js');

function loads(file) {
  try {
    createRequire(import.meta.url)(file);
    return true;
  } catch {
    return false;
  }
}

/** Compiles the addon. @returns undefined, or why it could not be compiled */
function build() {
  const args = ['rebuild', `--directory=${join(root, 'src/native')}`, '--loglevel=warn'];
  // Headers that Node brings along need not be downloaded.
  const prefix = dirname(dirname(process.execPath));
  if (existsSync(join(prefix, 'include/node/node_api.h'))) args.push(`--nodedir=${prefix}`);
  // A compiler that is newer than this version may warn of more.
  args.push('--', '-Dwarnings_are_errors=0');
  // npm sets this; anyone else needs a node-gyp of his own.
  const script = process.env.npm_config_node_gyp;
  const [command, first] = script ? [process.execPath, [script]] : ['node-gyp', []];
  const built = spawnSync(command, [...first, ...args], { stdio: 'inherit' });
  if (built.error) return `${command} does not start: ${built.error.message}`;
  return built.status === 0 ? undefined : `node-gyp ended with ${built.status ?? built.signal}`;
}

const isCheckout = existsSync(join(root, 'tsconfig.json')) || !existsSync(finder);
if (process.platform === 'linux' && !isCheckout) {
  const { prebuiltAddon } = await import(finder);
  const prebuilt = prebuiltAddon(root);
  if (!loads(prebuilt)) {
    const platform = `${process.platform}-${process.arch}, Node ${process.versions.node}`;
    process.stderr.write(`ripstop: ${prebuilt} does not load (${platform}); compiling the native addon\n`);
    const obstacle = build();
    if (obstacle !== undefined) {
      process.stderr.write(
        `ripstop: the native addon is not built: ${obstacle}. It needs python3, make and a C++17 compiler.\n`,
      );
      process.exitCode = 1;
    }
  }
}
