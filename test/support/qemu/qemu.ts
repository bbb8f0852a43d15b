import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { must } from '../../../bench/lab/command.ts';
import { scratch } from '../../../bench/lab/namespace.ts';
import { launch } from '../../../bench/lab/proc.ts';
import { CHECKOUT } from '../../../bench/lab/tool.ts';
import { skipUnless } from '../skip-unless.ts';
import { staticBusybox } from './busybox.ts';
import { type GuestKernel, guestKernel, loadOrder } from './qemu-kernel.ts';

/*
 * A guest for what this machine's kernel lacks: Debian's kernel in QEMU, software emulation. It sees this machine's
 * whole file system, read-only over 9p, under a layer of memory that takes what it writes: node, the checkout, iproute2
 * and nft are those of this machine, and /etc, /opt, /run are the guest's own. It has no network device.
 */

/** What must be loaded before the file system of this machine can be mounted. */
const BOOT_MODULES = ['virtio_pci', '9pnet_virtio', '9p', 'overlay'];
const END = 'guest-script-ended-with';

export interface GuestResult {
  /** Exit code of the script. */
  readonly code: number;
  /** Standard output and standard error, interleaved as written. */
  readonly output: string;
}

export interface GuestWish {
  /** Lines of /bin/sh; they run as root in the checkout. */
  readonly script: string;
  readonly timeoutMs?: number;
  readonly memoryMb?: number;
}

/** Why no guest can run here, or false: for `{ skip: await guestMissing() }`. Fetches the kernel on first use. */
export async function guestMissing(): Promise<string | false> {
  if (process.arch !== 'x64') return `missing here: a guest for ${process.arch}`;
  const lacks = skipUnless('qemu-system-x86_64', 'static busybox', 'apt-get', 'dpkg-deb', 'gzip');
  if (lacks) return lacks;
  try {
    await guestKernel();
    return false;
  } catch (error) {
    return `missing here: a kernel for the guest (${(error as Error).message})`;
  }
}

/**
 * Boots a guest, runs the script in it and powers it off.
 * @throws RipstopError ETIMEDOUT, or ECHILD when the guest ended before the script, with the tail of its console
 */
export async function runInGuest({
  script,
  timeoutMs = 120_000,
  memoryMb = 1024,
}: GuestWish): Promise<GuestResult> {
  const folder = mkdtempSync(join(scratch(), 'guest-'));
  const kernel = await guestKernel();
  const log = join(folder, 'console');
  const guest = launch([
    ...[
      'qemu-system-x86_64',
      '-accel',
      'tcg,thread=multi',
      '-cpu',
      'max',
      '-smp',
      '2',
      '-m',
      String(memoryMb),
    ],
    ...['-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none'],
    ...['-kernel', kernel.image, '-initrd', initialFiles(folder, kernel, script)],
    ...['-append', 'console=ttyS0 quiet panic=-1 mitigations=off'],
    ...['-serial', `file:${log}`, '-serial', 'stdio'],
    ...['-fsdev', 'local,id=machine,path=/,security_model=none,readonly=on,multidevs=remap'],
    ...['-device', 'virtio-9p-pci,fsdev=machine,mount_tag=machine'],
  ]);
  try {
    const match = await guest.saying(new RegExp(`^${END} (\\d+)$`, 'm'), timeoutMs);
    return { code: Number(match[1]), output: guest.stdout.slice(0, match.index).trimEnd() };
  } catch (error) {
    throw Object.assign(error as Error, {
      message: `${(error as Error).message}\nconsole of the guest:\n${tail(log)}`,
    });
  } finally {
    await guest.stop('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  }
}

const tail = (file: string) => readFileSync(file, 'utf8').split('\n').slice(-20).join('\n');

/** The archive that the kernel unpacks as its first file system: busybox, modules, and the two scripts. */
function initialFiles(folder: string, kernel: GuestKernel, script: string): string {
  const root = join(folder, 'root');
  for (const part of ['bin', 'modules', 'proc', 'dev', 'machine', 'layer', 'new'])
    mkdirSync(join(root, part), { recursive: true });
  copyFileSync(staticBusybox()!, join(root, 'bin/busybox'));
  const modules = loadOrder(kernel, BOOT_MODULES);
  for (const file of modules) copyFileSync(file, join(root, 'modules', basename(file)));
  const load = modules.map(file => `$b insmod /modules/${basename(file)}`);
  writeFileSync(join(root, 'init'), firstProgram(load, kernel));
  writeFileSync(join(root, 'script'), script);
  chmodSync(join(root, 'init'), 0o755);
  const archive = join(folder, 'initrd');
  must([
    'sh',
    '-c',
    `cd ${root} && find . | ${staticBusybox()} cpio -o -H newc 2>/dev/null | gzip -1 >${archive}`,
  ]);
  return archive;
}

function firstProgram(load: readonly string[], kernel: GuestKernel): string {
  return `#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t devtmpfs dev /dev
${load.join('\n')}
$b mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=524288,cache=loose machine /machine &&
$b mount -t tmpfs layer /layer && $b mkdir /layer/upper /layer/work &&
$b mount -t overlay -o lowerdir=/machine,upperdir=/layer/upper,workdir=/layer/work layer /new || $b poweroff -f
cd /new
$b mount -t proc proc proc
$b mount -t sysfs sys sys
$b mount -t devtmpfs dev dev
$b mount -t tmpfs run run
$b mkdir -p lib/modules
$b mount --bind /machine${kernel.modules} lib/modules
# busybox knows by its name that it is to be modprobe.
$b cp /bin/busybox tmp/busybox
$b ln -s busybox tmp/modprobe
$b cp /script tmp/script
echo /tmp/modprobe >/proc/sys/kernel/modprobe
$b stty -F /dev/ttyS1 raw -echo
exec $b switch_root /new /bin/sh -c '
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
cd ${CHECKOUT}
/bin/sh /tmp/script </dev/null >/dev/ttyS1 2>&1
echo "
${END} $?" >/dev/ttyS1
/tmp/busybox poweroff -f'
`;
}
