/*
 * The cross compiler of the prebuilt binaries: Zig, whose package on PyPI holds clang, and the headers and start files of
 * each glibc and musl. It is unpacked into a cache folder; the system stays as it is.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { findCommand } from './apt.mjs';

const VERSION = '0.17.1';
/** SHA-256 of the wheels for x64 and arm64. What is published is made with what was looked at. */
const WHEELS = [
  'ea6cc5d87b033cf0aedfbc8f9549a908cae6c50ac31f1698188fa48a74524b54',
  'b7c5f02fccd40f89b999ee16a1f5ddced56e6182370f8affe494bcf8a28cf07e',
];

const CACHE = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'ripstop', 'zig');
const FOLDER = join(CACHE, VERSION);
const ZIG = join(FOLDER, 'ziglang', 'zig');

/** Environment of the compiler: what it makes of its C libraries stays in the cache folder, too. */
export const zigEnvironment = () => ({
  ...process.env,
  ZIG_GLOBAL_CACHE_DIR: join(CACHE, 'objects'),
  ZIG_LOCAL_CACHE_DIR: join(CACHE, 'objects'),
});

/**
 * Path of the compiler, which is downloaded (100 MB, 400 MB unpacked) when the cache does not have it.
 * @throws Error that says what is missing
 */
export function obtainZig(say) {
  if (existsSync(ZIG)) return ZIG;
  const python = findCommand('python3');
  if (python === undefined)
    throw new Error('Zig is not in the cache, and there is no python3 to fetch it from PyPI');
  say(`Zig ${VERSION} from PyPI to ${FOLDER}`);
  mkdirSync(dirname(FOLDER), { recursive: true });
  const draft = mkdtempSync(`${FOLDER}-fetch-`);
  try {
    const wanted = join(draft, 'requirements.txt');
    writeFileSync(wanted, `ziglang==${VERSION} ${WHEELS.map(sum => `--hash=sha256:${sum}`).join(' ')}\n`);
    const pip = [
      '-m',
      'pip',
      'install',
      '--quiet',
      '--disable-pip-version-check',
      '--root-user-action=ignore',
    ];
    const only = ['--no-deps', '--only-binary=:all:', '--no-compile', '--require-hashes'];
    const args = [...pip, ...only, '--target', join(draft, 'root'), '--requirement', wanted];
    const fetched = spawnSync(python, args, { encoding: 'utf8', stdio: ['ignore', 'ignore', 'pipe'] });
    if (fetched.status !== 0)
      throw new Error(`Zig is not in the cache, and pip does not fetch it: ${fetched.stderr.trim()}`);
    try {
      renameSync(join(draft, 'root'), FOLDER);
    } catch (error) {
      // Another process was faster.
      if (!existsSync(ZIG)) throw error;
    }
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
  return ZIG;
}
