import { statfsSync, statSync } from 'node:fs';
import { CniError, CODE } from './errors.ts';

/** f_type of nsfs, the file system of network namespaces (linux/magic.h NSFS_MAGIC). */
const NSFS_MAGIC = 0x6e736673;

interface NamespaceIdentity {
  device: bigint;
  inode: bigint;
  /** Time of the inode, ns since 1970: the kernel gives the number of a namespace that has ended to a later one. */
  born: bigint;
}

/** Tells namespaces apart; injected so that the protocol can be tested without any. */
export interface NamespaceProbe {
  /** Identity of the namespace at `path`, or undefined when nothing is there or it is no namespace. */
  identify(path: string): NamespaceIdentity | undefined;
}

/** The real probe: nsfs files are equal when device and inode are. */
export const kernelNamespaces: NamespaceProbe = {
  identify(path) {
    try {
      if (statfsSync(path).type !== NSFS_MAGIC) return undefined;
      const { dev, ino, ctimeNs } = statSync(path, { bigint: true });
      return { device: dev, inode: ino, born: ctimeNs };
    } catch {
      return undefined;
    }
  },
};

const OWN = '/proc/self/ns/net';

/** True when `path` is a network namespace: after a reboot the path is often still there as a plain file. */
export function isNamespace(probe: NamespaceProbe, path: string): boolean {
  return path !== '' && probe.identify(path) !== undefined;
}

/** Refuses to work on the node's own namespace (`node`, '' for this process's): code 8, before anything is touched. */
export function refuseOwnNamespace(probe: NamespaceProbe, path: string, node: string): void {
  if (path === '') return;
  const pod = probe.identify(path);
  const own = probe.identify(node || OWN);
  if (pod && own && pod.device === own.device && pod.inode === own.inode) {
    throw new CniError(
      CODE.INVALID_NETNS,
      "plugin's netns and netns from CNI_NETNS should not be the same",
      `CNI_NETNS=${path}; set CNI_NETNS_OVERRIDE=1 when this is meant`,
    );
  }
}

/** Refuses a path that is no namespace: code 4 naming the variable. */
export function requireNamespace(probe: NamespaceProbe, path: string): void {
  if (isNamespace(probe, path)) return;
  throw new CniError(
    CODE.INVALID_ENVIRONMENT,
    `CNI_NETNS: "${path}" is not a network namespace`,
    'it takes the path of a bind-mounted namespace or of /proc/<pid>/ns/net',
  );
}
