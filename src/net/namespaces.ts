import { statfsSync } from 'node:fs';

/** Where `ip netns` keeps the namespaces that have names. */
export const NAMED_NAMESPACES = '/run/netns';
/** statfs(2) f_type of the file system that namespaces are files of (linux/magic.h). */
const NSFS_MAGIC = 0x6e736673;

/** True when `path` leads to a namespace (of any type); false for anything else, and where there is no file. */
export function isNamespace(path: string): boolean {
  try {
    return statfsSync(path).type === NSFS_MAGIC;
  } catch {
    return false;
  }
}
