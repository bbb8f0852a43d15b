/*
 * A statically linked busybox, for root file systems that hold nothing else: containers of the tests, and the first file
 * system of the QEMU guest. Debian's `busybox` is dynamic and conflicts with `busybox-static`, and initramfs-tools brings
 * the dynamic one, so where the installed one is dynamic the package is unpacked into a cache folder and not installed.
 */
import { spawnSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { findCommand } from './apt.mjs';

const CACHE = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'ripstop', 'busybox-static');
const PT_INTERP = 3;

/** True for an ELF file (elf(5)) of 64 bits that names no loader: it runs where no library is. */
export function isStatic(file) {
  const head = Buffer.alloc(4096);
  const fd = openSync(file, 'r');
  try {
    readSync(fd, head, 0, head.length, 0);
  } finally {
    closeSync(fd);
  }
  if (head.toString('latin1', 0, 4) !== '\x7fELF' || head[4] !== 2) return false;
  const little = head[5] === 1;
  const u16 = at => (little ? head.readUInt16LE(at) : head.readUInt16BE(at));
  const u32 = at => (little ? head.readUInt32LE(at) : head.readUInt32BE(at));
  // e_phoff, whose upper half is 0 in every linked program; e_phentsize and e_phnum.
  const [offset, size, count] = [u32(little ? 32 : 36), u16(54), u16(56)];
  for (let i = 0; i < count && offset + (i + 1) * size <= head.length; i++)
    if (u32(offset + i * size) === PT_INTERP) return false;
  return true;
}

/** Path of a static busybox: the installed one, or the one that was unpacked; undefined when there is neither. */
export function findStaticBusybox() {
  const installed = findCommand('busybox');
  if (installed !== undefined && isStatic(installed)) return installed;
  const unpacked = ['bin', 'usr/bin'].map(folder => join(CACHE, folder, 'busybox')).find(existsSync);
  return unpacked !== undefined && isStatic(unpacked) ? unpacked : undefined;
}

/** Downloads Debian's package and unpacks it, without installing it. @returns undefined, or why it failed */
export function fetchStaticBusybox() {
  mkdirSync(join(CACHE, '..'), { recursive: true });
  const folder = mkdtempSync(`${CACHE}-fetch-`);
  const run = (command, ...args) =>
    spawnSync(command, args, { cwd: folder, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  try {
    const download = run('apt-get', '-q', 'download', 'busybox-static');
    const archive = readdirSync(folder).find(name => name.endsWith('.deb'));
    if (archive === undefined) return `apt-get download busybox-static: ${download.stderr ?? download.error}`;
    const unpack = run('dpkg', '-x', archive, 'root');
    if (unpack.status !== 0) return `dpkg -x ${archive}: ${unpack.stderr ?? unpack.error}`;
    rmSync(CACHE, { recursive: true, force: true });
    renameSync(join(folder, 'root'), CACHE);
    return findStaticBusybox() === undefined ? 'busybox-static holds no static busybox' : undefined;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
