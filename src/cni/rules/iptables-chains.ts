import type { Family } from '../../net/address-text.ts';
import { iptables } from '../../net/iptables.ts';
import { withLock } from '../state/lock.ts';

/*
 * The chains that all pods share and the jumps to them. "Is it there? no: insert it" is two steps, so calls that run at
 * once take a lock, or a jump would stand twice.
 */

const LOCK_DIRECTORY = '/run/ripstop/cni-iptables';

export function withChainsLock<T>(work: () => Promise<T>): Promise<T> {
  return withLock(LOCK_DIRECTORY, work);
}

/** Makes a chain unless it is there; what it holds stays. */
export async function ensureChain(
  netns: string,
  family: Family,
  table: string,
  chain: string,
): Promise<void> {
  // Exit code 1 says that it exists.
  await iptables(netns, family, ['-t', table, '-N', chain]);
}

/** Puts a rule at the head of a chain unless it is in it. Under `withChainsLock`. */
export async function ensureRule(
  netns: string,
  family: Family,
  table: string,
  chain: string,
  rule: readonly string[],
): Promise<void> {
  if (await iptables(netns, family, ['-t', table, '-C', chain, ...rule])) return;
  await iptables(netns, family, ['-t', table, '-I', chain, ...rule]);
}
