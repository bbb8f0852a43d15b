import type { Agent } from './agent.ts';

/** What fails at the moment, with the reason: parts of the network, the configuration, writes to the store. */
export function failingOf(agent: Agent): ReadonlyMap<string, string> {
  const { overlay, configuration } = agent.faults;
  return new Map<string, string>([
    ...(overlay === undefined ? [] : [['next overlay', overlay] as const]),
    ...(configuration === undefined ? [] : [['configuration', configuration] as const]),
    ...(agent.network?.reconcileErrors ?? []),
    ...failingWrites(agent),
  ]);
}

/** Why the store does not take the writes of this node, by what they write. */
export function failingWrites({ store, lease }: Agent): ReadonlyMap<string, string> {
  return new Map([...(store.failing ?? []), ...lease.failing]);
}
