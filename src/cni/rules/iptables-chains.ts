import type { Family } from '../../ip/address.ts';
import { withFlock } from '../../net/file-lock.ts';
import {
  iptables,
  restoreIptables,
  rulesOfChain,
  saveIptables,
  type Variant,
  variantsInUse,
} from '../../net/iptables.ts';
import { splitRule } from '../../net/iptables-words.ts';
import type { Attachment } from '../config/network.ts';
import { sha512 } from '../link/sha512.ts';
import type { Call } from '../skel/plugin.ts';

/*
 * The reference plugins' chains in iptables. Some are shared by all pods: "is it there? no: insert it" is two steps, so calls
 * that run at the same time take a lock, otherwise a jump could be inserted twice. Others belong to one attachment each.
 */

export const FAMILIES = [4, 6] as const;

const LOCK_DIRECTORY = '/run/ripstop/cni-iptables';

export function withChainsLock<T>(work: () => Promise<T>): Promise<T> {
  return withFlock(LOCK_DIRECTORY, work);
}

/** Creates a chain unless it exists, which is exit code 1 of iptables; its rules stay. */
export const ensureChain = (netns: string, family: Family, table: string, chain: string) =>
  iptables(netns, family, ['-t', table, '-N', chain]);

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

/** Applies lines of iptables-save's language to one table, in one transaction. */
export async function applyLines(
  netns: string,
  family: Family,
  table: string,
  lines: readonly string[],
  variant?: Variant,
): Promise<void> {
  await restoreIptables(netns, family, [`*${table}`, ...lines, 'COMMIT', ''].join('\n'), variant);
}

/** The line that removes a rule of `saveIptables`. */
export const deletionOf = (rule: string) => rule.replace(/^-A/, '-D');

/** Longest name of a chain that the reference plugins use. */
const NAME_MAX = 28;

/**
 * One chain per attachment in table `nat`, reached by rules of a parent chain. Names and comments are those of the reference
 * plugins, so that either program can remove what the other one made.
 */
export class PodChains {
  readonly #prefix: string;
  readonly #parent: string;
  readonly #label: string;

  /** @param label beginning of the comments, before the name of the network */
  constructor(prefix: string, parent: string, label: string) {
    this.#prefix = prefix;
    this.#parent = parent;
    this.#label = label;
  }

  nameOf(network: string, containerId: string): string {
    const hash = sha512(network + containerId);
    return this.#prefix + hash.slice(0, NAME_MAX - this.#prefix.length);
  }

  /** The match that carries the attachment's comment, as iptables-save writes it. */
  commentOf({ name, containerId }: Call): string {
    return `-m comment --comment "${this.#label}name: \\"${name}\\" id: \\"${containerId}\\""`;
  }

  /** Removes the attachment's chain, in whichever variant of iptables it is. */
  async remove(call: Call): Promise<void> {
    const { netns } = call.host;
    const own = this.nameOf(call.name, call.containerId);
    for (const family of FAMILIES)
      for (const variant of await variantsInUse(netns, family, 'nat', own))
        await this.removeFrom(netns, family, variant, chain => chain === own);
  }

  /** Removes the chains of the network whose container has no valid attachment. */
  async gc(call: Call, valid: readonly Attachment[]): Promise<void> {
    const { netns } = call.host;
    const kept = new Set(valid.map(one => this.nameOf(call.name, one.containerID)));
    const mark = `${this.#label}name: "${call.name}" id: `;
    const isOfNetwork = (rules: readonly string[]) =>
      rules.some(rule => splitRule(rule).some(word => word.startsWith(mark)));
    for (const family of FAMILIES)
      for (const variant of await variantsInUse(netns, family, 'nat'))
        await this.removeFrom(
          netns,
          family,
          variant,
          (chain, rules) => !kept.has(chain) && isOfNetwork(rules()),
        );
  }

  /**
   * Removes the chains that `wanted` accepts, and the rules that lead to them.
   * @param wanted gets the rules of the chain and the jumps to it, which may be missing although the chain exists
   */
  async removeFrom(
    netns: string,
    family: Family,
    variant: Variant,
    wanted: (chain: string, rules: () => readonly string[]) => boolean,
  ): Promise<void> {
    const saved = await saveIptables(netns, family, 'nat', variant);
    // Split once: the parent has a rule for every pod, and each of their chains is looked at.
    const entries = rulesOfChain(saved, this.#parent).map(rule => ({ rule, target: splitRule(rule).at(-1) }));
    const entriesOf = (chain: string) =>
      entries.filter(({ target }) => target === chain).map(({ rule }) => rule);
    const name = `${this.#prefix}[0-9a-f]{${NAME_MAX - this.#prefix.length}}`;
    const chains = [...saved.matchAll(new RegExp(`^:(${name}) `, 'gm'))].map(([, chain = '']) => chain);
    const stale = chains.filter(chain =>
      wanted(chain, () => [...entriesOf(chain), ...rulesOfChain(saved, chain)]),
    );
    if (stale.length === 0) return;
    const lines = [
      ...stale.flatMap(entriesOf).map(deletionOf),
      ...stale.flatMap(chain => [`-F ${chain}`, `-X ${chain}`]),
    ];
    await applyLines(netns, family, 'nat', lines, variant);
  }
}
