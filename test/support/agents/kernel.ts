import { NetlinkSocket } from '../../../src/net/rtnetlink/socket.ts';
import { namespaceFor } from '../lab.ts';

/** One JSON object of iproute2. */
// biome-ignore lint/suspicious/noExplicitAny: another program's output, looked at key by key
export type Shown = any;

interface Owner {
  teardown(undo: () => void): void;
}

/** A namespace with a netlink socket in it, and iproute2's view of the same: two independent readers. */
export function kernelFor(t: Owner) {
  const ns = namespaceFor(t);
  const socket = new NetlinkSocket({ netns: ns.path });
  t.teardown(() => socket.close());
  const run =
    (tool: string) =>
    (...words: string[]): Shown[] =>
      JSON.parse(ns.must([tool, '-j', '-d', ...words]) || '[]').filter(
        (object: object) => Object.keys(object).length > 0,
      );
  return { ns, socket, ip: run('ip'), bridge: run('bridge'), tc: run('tc') };
}
