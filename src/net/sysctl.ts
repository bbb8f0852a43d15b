import { closeSync, readFileSync, readSync, writeSync } from 'node:fs';
import { constants } from 'node:os';
import { isSystemError } from '../base/errors.ts';
import { native } from '../native/load.ts';
import { NetError } from './error.ts';

/*
 * Kernel settings of a namespace: /proc/sys/net shows the namespace of the task that opens a file, so files are opened
 * inside and read here.
 */

const O_RDONLY = 0;
const O_WRONLY = 1;

/**
 * Path below /proc/sys of a setting such as `net.ipv4.ip_forward`. A device name may hold dots, so names are also taken
 * with slashes: `net/ipv4/conf/flannel.1/forwarding`.
 * @throws NetError EINVAL for a name that would lead out of /proc/sys
 */
export function settingPath(name: string): string {
  const path = name.includes('/') ? name : name.replaceAll('.', '/');
  if (path.startsWith('/') || path.split('/').some(part => part === '' || part === '.' || part === '..'))
    throw new NetError(constants.errno.EINVAL, `kernel setting ${JSON.stringify(name)}`, 'is not a name');
  return `/proc/sys/${path}`;
}

function withFile<T>(netns: string, path: string, flags: number, what: string, use: (fd: number) => T): T {
  let fd = -1;
  try {
    fd = native.fileOpen(netns, path, flags);
    return use(fd);
  } catch (error) {
    if (!isSystemError(error)) throw error;
    const place = netns ? ` in ${netns}` : '';
    throw new NetError(Math.abs(error.errno), `${what}${place}`);
  } finally {
    if (fd >= 0) closeSync(fd);
  }
}

/** Value of a kernel setting, without the newline. @throws NetError ENOENT when this kernel has no such setting */
export function readSetting(netns: string, name: string): string {
  const text = withFile(netns, settingPath(name), O_RDONLY, `read ${name}`, fd => readFileSync(fd, 'utf8'));
  return text.trimEnd();
}

/** Sets a kernel setting. @throws NetError ENOENT (no such setting), EACCES, EPERM, EROFS (not allowed), EINVAL (not a value) */
export function writeSetting(netns: string, name: string, value: string): void {
  withFile(netns, settingPath(name), O_WRONLY, `set ${name} = ${value}`, fd => writeSync(fd, `${value}\n`));
}

/**
 * Sets a kernel setting unless it has the value already.
 * @returns the former value when it was changed, for undoing it; undefined when nothing was done
 */
export function changeSetting(netns: string, name: string, value: string): string | undefined {
  const former = readSetting(netns, name);
  if (former === value) return undefined;
  writeSetting(netns, name, value);
  return former;
}

/** A file of /sys/class/net or /proc/net as the namespace sees it, at most `limit` bytes. @throws NetError */
export function readNamespaceFile(netns: string, path: string, limit = 1 << 20): string {
  return withFile(netns, path, O_RDONLY, `read ${path}`, fd => {
    const buffer = Buffer.alloc(limit);
    let used = 0;
    for (;;) {
      const count = readSync(fd, buffer, used, limit - used, null);
      used += count;
      if (count === 0 || used === limit) return buffer.toString('utf8', 0, used);
    }
  });
}
