import { closeSync, existsSync, readFileSync, writeSync } from 'node:fs';
import { constants } from 'node:os';
import { native } from '../native/load.ts';
import { ignoreErrors, inNamespace, isNetError, NetError } from './error.ts';

/*
 * Kernel settings of a namespace. /proc/sys/net shows the namespace of the task that opens a file, so files are opened inside
 * the namespace and read here.
 */

const O_RDONLY = 0;
const O_WRONLY = 1;

/**
 * A second mount of the host's /proc/sys/net. Container runtimes mount /proc/sys read-only and refuse every mount inside
 * /proc (runc, checkProcMount), and their AppArmor profile denies writes below /proc/sys by path. The manifest mounts it
 * here, and a setting that /proc/sys refuses is written here: docs/decisions/0100-second-mount-for-settings.md.
 */
const SECOND_MOUNT = '/host/proc/sys/net/';
const NET = '/proc/sys/net/';

/** How a write is refused: a read-only mount, file permissions or a security module, a missing capability. */
const REFUSED = ['EROFS', 'EACCES', 'EPERM'] as const;
const REASONS: Readonly<Record<(typeof REFUSED)[number], string>> = {
  EROFS: '/proc/sys is read-only here',
  EACCES: 'writing below /proc/sys is denied here',
  EPERM: 'writing below /proc/sys is not permitted here',
};

/**
 * Path below /proc/sys of a setting such as `net.ipv4.ip_forward`. A device name may hold dots, so names are also taken
 * with slashes: `net/ipv4/conf/flannel.1/forwarding`.
 * @throws NetError EINVAL for a name that would lead out of /proc/sys
 */
function sysctlPath(name: string): string {
  const path = name.includes('/') ? name : name.replaceAll('.', '/');
  if (path.startsWith('/') || path.split('/').some(part => part === '' || part === '.' || part === '..'))
    throw new NetError(constants.errno.EINVAL, `kernel setting ${JSON.stringify(name)}`, 'is not a name');
  return `/proc/sys/${path}`;
}

function withFile<T>(netns: string, path: string, flags: number, what: string, use: (fd: number) => T): T {
  return inNamespace(netns, what, () => {
    const fd = native.fileOpen(netns, path, flags);
    try {
      return use(fd);
    } finally {
      closeSync(fd);
    }
  });
}

/** A file of /sys/class/net or /proc/net as the namespace sees it. @throws NetError */
export function readNamespaceFile(netns: string, path: string): string {
  return withFile(netns, path, O_RDONLY, `read ${path}`, fd => readFileSync(fd, 'utf8'));
}

/** Value of a kernel setting, without the newline. @throws NetError ENOENT when this kernel has no such setting */
export function readSysctl(netns: string, name: string): string {
  const text = withFile(netns, sysctlPath(name), O_RDONLY, `read ${name}`, fd => readFileSync(fd, 'utf8'));
  return text.trimEnd();
}

/**
 * Sets a kernel setting, by the second mount where /proc/sys refuses it.
 * @throws NetError ENOENT (no such setting), EACCES, EPERM, EROFS (not allowed), EINVAL (not a value)
 */
export function writeSysctl(netns: string, name: string, value: string): void {
  const path = sysctlPath(name);
  const paths = [path];
  if (path.startsWith(NET) && existsSync(SECOND_MOUNT)) paths.push(SECOND_MOUNT + path.slice(NET.length));
  let refused: NetError | undefined;
  for (const file of paths)
    try {
      withFile(netns, file, O_WRONLY, `set ${name} = ${value}`, fd => writeSync(fd, `${value}\n`));
      return;
    } catch (error) {
      if (!isSysctlRefusal(error)) throw error;
      refused ??= error;
    }
  throw refusal(refused!, name, value);
}

/** True for a setting that exists and may not be written here. */
export function isSysctlRefusal(error: unknown): error is NetError {
  return isNetError(error, ...REFUSED);
}

function refusal({ code, errno }: NetError, name: string, value: string): NetError {
  const dotted = name.includes('.') ? name : name.replaceAll('/', '.');
  return new NetError(
    errno,
    `set ${name} = ${value}`,
    REASONS[code as (typeof REFUSED)[number]],
    `set it on the host (sysctl -w ${dotted}=${value}), or mount the host's /proc/sys/net at ${SECOND_MOUNT.slice(0, -1)}`,
  );
}

/**
 * Sets a kernel setting unless it has the value already.
 * @returns the former value when it was changed, for undoing it; undefined when nothing was done
 */
export function changeSysctl(netns: string, name: string, value: string): string | undefined {
  const former = readSysctl(netns, name);
  if (former === value) return undefined;
  writeSysctl(netns, name, value);
  return former;
}

/** A setting that was refused and that traffic does not depend on. */
export interface RefusedSysctl {
  readonly name: string;
  readonly value: string;
  /** Errno name and reason. */
  readonly reason: string;
  /** Effect of the missing setting. */
  readonly without: string;
}

/** By name: a node makes the same settings for each pod. */
const refused = new Map<string, RefusedSysctl>();
let report: (setting: RefusedSysctl) => void = () => {};

/** Calls `listener` once for each name that `trySysctl` could not set in this process. */
export function onRefusedSysctl(listener: (setting: RefusedSysctl) => void): void {
  report = listener;
}

/** What `trySysctl` could not set in this process, and has not set since. */
export function refusedSysctls(): readonly RefusedSysctl[] {
  return [...refused.values()];
}

/**
 * Sets a kernel setting that traffic does not depend on, where this kernel has it and lets it be written. A refusal is
 * reported (`onRefusedSysctl`).
 * @param without effect of a missing setting, as in `host ports do not answer on 127.0.0.1`
 * @returns false when it was refused
 * @throws NetError EINVAL and others, which no permission explains
 */
export function trySysctl(netns: string, name: string, value: string, without: string): boolean {
  try {
    ignoreErrors(['ENOENT'], () => changeSysctl(netns, name, value));
    refused.delete(name);
    return true;
  } catch (error) {
    if (!isSysctlRefusal(error)) throw error;
    const setting = { name, value, reason: `${error.kernelText} (${error.code})`, without };
    const isNew = !refused.has(name);
    refused.set(name, setting);
    if (isNew) report(setting);
    return false;
  }
}

/** One line for log, status and doctor. */
export function describeRefusedSysctl({ name, value, reason, without }: RefusedSysctl): string {
  return `kernel setting ${name} cannot be set to ${value}: ${reason}; without it, ${without}`;
}
