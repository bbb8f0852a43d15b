import type { Namespace } from '../../../bench/lab/namespace.ts';

export interface Shaper {
  /** Bytes that it let through. */
  readonly bytes: number;
  /** How often it made a packet wait (tc: overlimits). */
  readonly heldBack: number;
}

/** The token bucket filters of a node by their rate as tc prints it: a limit is shown by what it held back. */
export function shapers(node: Namespace): Record<string, Shaper> {
  const blocks = node.must(['tc', '-s', 'qdisc', 'show']).split(/^(?=qdisc )/m);
  return Object.fromEntries(
    blocks.flatMap(block => {
      const [, rate] = /^qdisc tbf .* rate (\S+)/.exec(block) ?? [];
      const [, bytes, heldBack] = /Sent (\d+) bytes .*overlimits (\d+)/.exec(block) ?? [];
      return rate === undefined ? [] : [[rate, { bytes: Number(bytes), heldBack: Number(heldBack) }]];
    }),
  );
}
