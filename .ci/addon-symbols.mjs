/*
 * What a compiled addon asks of the machine that loads it, read with readelf: the versions of the C library's functions,
 * the libraries, and the functions of Node.
 */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

/** Version of Node-API in binding.gyp (NAPI_VERSION): the one of Node 12.22 and later. */
const NAPI_VERSION = 8;

/** Parts of the C library. A C++ runtime or libgcc among them would have to be installed on the host. */
const LIBRARIES =
  /^(lib(c|m|dl|pthread)\.so\.6|lib(dl|pthread)\.so\.[02]|ld-linux-[\w-]+\.so\.[12]|libc\.so)$/;

function readelf(option, file) {
  const read = spawnSync('readelf', ['--wide', option, file], {
    encoding: 'utf8',
    env: { ...process.env, LC_ALL: 'C' },
  });
  if (read.status !== 0) throw new Error(`readelf ${option} ${file}: ${read.error?.message ?? read.stderr}`);
  return read.stdout;
}

/** Undefined symbols that must be found (weak ones need not): the name, and the version that it must have (`GLIBC_2.14`) or undefined. */
export function undefinedSymbols(file) {
  const lines = readelf('--dyn-syms', file).matchAll(/\bGLOBAL +\w+ +UND ([^@\s]+)(?:@+(\S+))?/g);
  return Array.from(lines, ([, name, version]) => ({ name, version }));
}

export function neededLibraries(file) {
  return Array.from(readelf('--dynamic', file).matchAll(/\(NEEDED\).*\[(.+)\]/g), ([, name]) => name);
}

const isOfNode = ({ name }) => /^(napi|node_api)_/.test(name);

/** Functions of Node-API up to NAPI_VERSION, which every supported Node has. */
function stableFunctions() {
  const { symbols } = createRequire(import.meta.url)('node-api-headers');
  return new Set(
    Object.entries(symbols)
      .filter(([version]) => Number(version.slice(1)) <= NAPI_VERSION)
      .flatMap(([, { js_native_api_symbols: engine, node_api_symbols: runtime }]) => [...engine, ...runtime]),
  );
}

const number = version =>
  version
    .split('.')
    .map(part => Number(part).toString().padStart(4, '0'))
    .join('.');

/**
 * Why an addon would not load everywhere; empty when it would.
 * @param newest version of glibc that it may ask for, like `2.28`
 */
export function addonFaults(file, newest) {
  const symbols = undefinedSymbols(file);
  const known = stableFunctions();
  const faults = [];
  for (const library of neededLibraries(file))
    if (!LIBRARIES.test(library)) faults.push(`it needs ${library}, which a host need not have`);
  const isGlibc = symbols.some(({ version }) => version?.startsWith('GLIBC_'));
  for (const symbol of symbols) {
    const { name, version } = symbol;
    if (isOfNode(symbol)) {
      if (!known.has(name)) faults.push(`${name} is not in Node-API ${NAPI_VERSION}`);
    } else if (version === undefined) {
      if (isGlibc) faults.push(`${name} is in no library that it names`);
    } else if (!/^GLIBC_[\d.]+$/.test(version) || number(version.slice(6)) > number(newest)) {
      faults.push(`${name} must have version ${version}; glibc ${newest} or older is allowed`);
    }
  }
  if (!symbols.some(isOfNode)) faults.push('it uses no function of Node-API');
  return faults;
}

/** Writes a C file that defines what an addon takes from Node. @returns its path */
export function napiStub(addon, folder) {
  const names = undefinedSymbols(addon).filter(isOfNode);
  const stub = join(folder, 'node.c');
  writeFileSync(stub, names.map(({ name }) => `void ${name}(void) {}\n`).join(''));
  return stub;
}
