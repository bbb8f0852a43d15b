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

/** Opens the node's and the pod's namespace for the length of `work`. @throws NetError */
export async function withNodeAndPod<T>(call: Call, work: (netlink: NetlinkPair) => Promise<T>): Promise<T> {
  const node = new NetlinkSocket({ netns: call.host.netns });
  try {
    const pod = new NetlinkSocket({ netns: call.netns });
    try {
      return await work({ node, nodeNetns: call.host.netns, pod, podNetns: call.netns });
    } finally {
      pod.close();
    }
  } finally {
    node.close();
  }
}

/** Opens the pod's namespace for `work`, unless it is gone: then there is nothing to do there. */
export async function withPodIfExists(call: Call, work: (pod: NetlinkSocket) => unknown): Promise<void> {
  if (!isNamespace(call.host.namespaces, call.netns)) return;
  const pod = new NetlinkSocket({ netns: call.netns });
  try {
    await work(pod);
  } finally {
    pod.close();
  }
}

/** Opens the node's namespace for `work`. */
export async function withNode<T>(call: Call, work: (node: NetlinkSocket) => T | Promise<T>): Promise<T> {
  const node = new NetlinkSocket({ netns: call.host.netns });
  try {
    return await work(node);
  } finally {
    node.close();
  }
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
