import { closeSync, mkdirSync, openSync, rmSync, statfsSync, statSync } from 'node:fs';
import { constants } from 'node:os';
import { isSystemError } from '../base/errors.ts';
import { native } from '../native/load.ts';
import { NetError } from './error.ts';

/** Where `ip netns` keeps the namespaces that have names. */
export const NAMED_NAMESPACES = '/run/netns';
/** statfs(2) f_type of the file system that namespaces live in (linux/magic.h). */
const NSFS_MAGIC = 0x6e736673;

/** A name without slash and not a dot name, as a file in /run/netns. @throws NetError EINVAL */
function checkName(name: string): string {
  if (/^[^/\0]{1,255}$/.test(name) && name !== '.' && name !== '..') return name;
  throw new NetError(
    constants.errno.EINVAL,
    `network namespace name ${JSON.stringify(name)}`,
    'is not a file name',
  );
}

export function namedNamespace(name: string): string {
  return `${NAMED_NAMESPACES}/${checkName(name)}`;
}

/** Path of the namespace that a process lives in. */
export function processNamespace(pid: number | 'self'): string {
  return `/proc/${pid}/ns/net`;
}

/**
 * Makes a namespace with a name, as `ip netns add` does, and brings nothing up in it.
 * @returns its path
 * @throws NetError EEXIST when the name is taken, EPERM without CAP_SYS_ADMIN
 */
export function createNamespace(name: string): string {
  const path = namedNamespace(name);
  mkdirSync(NAMED_NAMESPACES, { recursive: true, mode: 0o755 });
  const shared = native.namespaceShareDirectory(NAMED_NAMESPACES);
  if (shared < 0) throw new NetError(-shared, `share the mounts of ${NAMED_NAMESPACES}`);
  try {
    closeSync(openSync(path, 'wx', 0o444));
  } catch (error) {
    throw toNetError(error, `create network namespace ${name}`);
  }
  try {
    native.namespaceCreate(path);
  } catch (error) {
    rmSync(path, { force: true });
    throw toNetError(error, `create network namespace ${name}`);
  }
  return path;
}

/** Takes a namespace's name away; it ends with its last process. True when the name was there. @throws NetError */
export function deleteNamespace(name: string): boolean {
  const path = namedNamespace(name);
  const result = native.namespaceUnpin(path);
  // EINVAL: a plain file that nothing is mounted on, left over from a crash between the two steps of creation.
  if (result === -constants.errno.ENOENT) return false;
  if (result < 0 && result !== -constants.errno.EINVAL)
    throw new NetError(-result, `delete network namespace ${name}`);
  rmSync(path, { force: true });
  return true;
}

/** True when `path` leads to a namespace (of any type); false for anything else and for nothing. */
export function isNamespace(path: string): boolean {
  try {
    return statfsSync(path).type === NSFS_MAGIC;
  } catch {
    return false;
  }
}

/** Identity of a namespace: equal for two paths that lead to the same one. @throws NetError when there is none */
export function namespaceIdentity(path: string): string {
  try {
    const { dev, ino } = statSync(path || '/proc/self/ns/net', { bigint: true });
    return `${dev}:${ino}`;
  } catch (error) {
    throw toNetError(error, `network namespace ${path}`);
  }
}

/** Whether two paths ('' for the own) lead to one namespace. */
export function sameNamespace(a: string, b: string): boolean {
  return namespaceIdentity(a) === namespaceIdentity(b);
}

function toNetError(error: unknown, what: string): unknown {
  if (!isSystemError(error)) return error;
  // Node's own errors count errno downwards, the addon's upwards.
  return new NetError(Math.abs(error.errno), what);
}
