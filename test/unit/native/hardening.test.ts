import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { CHECKOUT } from '../../../bench/lab/tool.ts';

const ADDON = join(CHECKOUT, 'src/native/build/Release/ripstop.node');
const SHIM = join(CHECKOUT, 'dist/cni/shim');

/** Instructions that begin a function which may be jumped to: `endbr64`, and `paciasp` or `bti c`. */
const LANDING: Readonly<Record<string, readonly Buffer[]>> = {
  x64: [Buffer.from('f30f1efa', 'hex')],
  arm64: [Buffer.from('3f2303d5', 'hex'), Buffer.from('5f2403d5', 'hex')],
};

function readelf(option: string, file: string): string {
  return execFileSync('readelf', ['--wide', option, file], {
    encoding: 'utf8',
    env: { ...process.env, LC_ALL: 'C' },
  });
}

function isInstalled(): boolean {
  try {
    readelf('--version', '/proc/self/exe');
    return true;
  } catch {
    return false;
  }
}

function occurrences(bytes: Buffer, pattern: Buffer): number {
  let count = 0;
  for (let at = bytes.indexOf(pattern); at >= 0; at = bytes.indexOf(pattern, at + pattern.length)) count++;
  return count;
}

const skip = isInstalled() ? false : 'readelf is not installed';

for (const [what, file] of Object.entries({ 'the addon': ADDON, 'the CNI executable': SHIM }))
  t.test(`${what} is hardened as usual for what parses foreign bytes as root (H20)`, { skip }, async t => {
    t.ok(existsSync(file), file);
    const segments = readelf('--segments', file);
    t.match(segments, /GNU_RELRO/, 'relocations are read-only');
    t.match(readelf('--dynamic', file), /BIND_NOW|FLAGS_1.*NOW/, 'all of them: no lazy binding');
    t.match(segments, /GNU_STACK.* RW /, 'the stack is not executable');
    t.match(readelf('--file-header', file), /Type: +DYN/, 'it can be loaded at any address');
    const landings = LANDING[process.arch] ?? [];
    const bytes = readFileSync(file);
    const marks = landings.reduce((sum, pattern) => sum + occurrences(bytes, pattern), 0);
    t.ok(landings.length === 0 || marks > 20, `${marks} checked targets of jumps`);
  });

t.test('the addon checks its stack and the sizes of its buffers (H20)', { skip }, async t => {
  const symbols = readelf('--dyn-syms', ADDON);
  t.match(symbols, /UND __stack_chk_fail/, 'stack protector');
  t.match(symbols, /UND __\w+_chk\b/, '_FORTIFY_SOURCE');
});
