import { NetlinkSocket } from '../../net/rtnetlink/socket.ts';
import { isNamespace } from '../skel/namespace.ts';
import type { Call } from '../skel/plugin.ts';

/** Both sides of an attachment: sockets opened inside, used from outside. */
export interface NetlinkPair {
  node: NetlinkSocket;
  /** Path of the node's namespace, '' for this process's own. */
  nodeNetns: string;
  pod: NetlinkSocket;
  podNetns: string;
}

async function withOpen<T>(netns: string, work: (socket: NetlinkSocket) => T | Promise<T>): Promise<T> {
  const socket = new NetlinkSocket({ netns });
  try {
    return await work(socket);
  } finally {
    socket.close();
  }
}

/** Opens the node's and the pod's namespace for `work`. @throws NetError */
export function withNodeAndPod<T>(
  { host, netns }: Call,
  work: (pair: NetlinkPair) => Promise<T>,
): Promise<T> {
  return withOpen(host.netns, node =>
    withOpen(netns, pod => work({ node, nodeNetns: host.netns, pod, podNetns: netns })),
  );
}

/** Opens the pod's namespace for `work`. @throws NetError */
export function withPod<T>(call: Call, work: (pod: NetlinkSocket) => T | Promise<T>): Promise<T> {
  return withOpen(call.netns, work);
}

/** Opens the pod's namespace for `work`, unless it is gone: then there is nothing to do there. */
export async function withPodIfExists(call: Call, work: (pod: NetlinkSocket) => unknown): Promise<void> {
  if (isNamespace(call.host.namespaces, call.netns)) await withOpen(call.netns, work);
}

/** Opens the node's namespace for `work`. */
export function withNode<T>(call: Call, work: (node: NetlinkSocket) => T | Promise<T>): Promise<T> {
  return withOpen(call.host.netns, work);
}

/** Runs every step, also behind one that fails, and then throws the first failure: a DEL removes what it can. */
export async function runAll(steps: readonly (() => unknown)[]): Promise<void> {
  let first: { error: unknown } | undefined;
  for (const step of steps) {
    try {
      await step();
    } catch (error) {
      first ??= { error };
    }
  }
  if (first) throw first.error;
}
