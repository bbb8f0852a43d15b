import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { attempt, must } from '../../../bench/lab/command.ts';
import { launch } from '../../../bench/lab/proc.ts';
import { RipstopError } from '../../../src/base/errors.ts';
import { staticBusybox } from './busybox.ts';

/*
 * Debian's kernel for the guest, out of the package's files: nothing is installed, so no bootloader hears of it. What a
 * guest wants of it (an eighth) stays in a cache folder outside the checkout, and later runs need no network.
 */

export interface GuestKernel {
  /** As `uname -r` says in the guest. */
  readonly release: string;
  /** Path of the compressed kernel. */
  readonly image: string;
  /** Folder that belongs at /lib/modules, with the lists of depmod. */
  readonly modules: string;
}

/** 9p is not built for linux-image-cloud-amd64, which would be a third of the size. */
const META_PACKAGE = 'linux-image-amd64';
/** For 70 MB. */
const DOWNLOAD_MS = 120_000;
/** Patterns of tar: the kernel, what mounts the machine's files, and networking. */
const WANTED = [
  './boot/vmlinuz-*',
  ...['order', 'builtin', 'builtin.modinfo'].map(list => `./lib/modules/*/modules.${list}`),
  ...[
    'net/9p',
    'fs/9p',
    'fs/netfs',
    'fs/fscache',
    'fs/overlayfs',
    'drivers/virtio',
    ...['8021q', 'bridge', 'core', 'ipv4', 'ipv6', 'llc', '802/', 'netfilter', 'packet', 'sched'].map(
      room => `net/${room}`,
    ),
    ...['dummy.ko', 'ifb.ko', 'ipvlan', 'macvlan.ko', 'tap.ko', 'tun.ko', 'veth.ko', 'vxlan'].map(
      driver => `drivers/net/${driver}`,
    ),
    'lib',
    'crypto',
  ].map(part => `./lib/modules/*/kernel/${part}*`),
];

const CACHE = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'ripstop', 'guest-kernel');
/** One kernel for one list of wanted files; it stays until it is deleted. */
const HOME = join(CACHE, createHash('sha256').update(WANTED.join()).digest('hex').slice(0, 16));

/** The cached kernel, fetched on first use. @throws RipstopError that says what apt-get said */
export async function guestKernel(): Promise<GuestKernel> {
  if (!existsSync(HOME)) await fetch();
  const image = readdirSync(join(HOME, 'boot'))[0]!;
  return {
    release: image.replace('vmlinuz-', ''),
    image: join(HOME, 'boot', image),
    modules: join(HOME, 'lib/modules'),
  };
}

async function fetch(): Promise<void> {
  const name = packageName();
  mkdirSync(CACHE, { recursive: true });
  const folder = mkdtempSync(join(CACHE, '.fetch-'));
  try {
    await launch(['apt-get', '-q', 'download', name], { cwd: folder }).success(DOWNLOAD_MS);
    const archive = readdirSync(folder).find(file => file.endsWith('.deb'))!;
    const patterns = WANTED.map(one => `'${one}'`).join(' ');
    // A pattern without a file is not an error: versions differ in what they build in. From 6.12 on modules are compressed.
    const unpack =
      `dpkg-deb --fsys-tarfile ${archive} | tar -x --wildcards ${patterns} 2>tar.log; ` +
      "find lib -name '*.ko.xz' -exec xz -d {} + && ls boot/vmlinuz-* >/dev/null";
    await launch(['sh', '-c', unpack], { cwd: folder }).success();
    must([staticBusybox()!, 'depmod', '-b', folder, readdirSync(join(folder, 'lib/modules'))[0]!]);
    rmSync(join(folder, archive));
    rmSync(join(folder, 'tar.log'), { force: true });
    // Another process may have fetched the same in the meantime.
    if (!existsSync(HOME)) renameSync(folder, HOME);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function packageName(): string {
  const answer = attempt(['apt-cache', 'depends', META_PACKAGE]).stdout;
  const name = /Depends: (linux-image-\S+)/.exec(answer)?.[1];
  if (name) return name;
  throw new RipstopError('ENOTSUP', `apt knows no package ${META_PACKAGE}`);
}

/**
 * Module files in the order in which they load, from what depmod wrote.
 * @param names of modules, without `.ko`
 */
export function loadOrder(kernel: GuestKernel, names: readonly string[]): string[] {
  const folder = join(kernel.modules, kernel.release);
  const needs = new Map<string, string[]>();
  for (const line of readFileSync(join(folder, 'modules.dep'), 'utf8').split('\n')) {
    const [file, rest] = line.split(':');
    if (file) needs.set(file, rest!.split(' ').filter(Boolean));
  }
  const order: string[] = [];
  const visit = (file: string): void => {
    if (order.includes(file)) return;
    needs.get(file)!.forEach(visit);
    order.push(file);
  };
  for (const name of names) {
    const file = [...needs.keys()].find(one => one.endsWith(`/${name}.ko`));
    // Absent here: built into the kernel.
    if (file) visit(file);
  }
  return order.map(file => join(folder, file));
}
