import { isDeepStrictEqual } from 'node:util';
import { hasCode } from '../../base/errors.ts';
import type { Log } from '../../base/log.ts';
import { readTable } from '../../net/filter/filter-tables.ts';
import { defaultVariant, type Variant, variantsInUse } from '../../net/iptables.ts';
import { IptablesRules } from './iptables.ts';
import type { RuleReconciler, RuleSet, RuleTool } from './model.ts';
import { NftablesRules } from './nftables.ts';
import { withPodInterfaces } from './pod-interfaces.ts';
import { dropsPods, podSamples } from './pod-samples.ts';

const VARIANTS: readonly Variant[] = ['nft', 'legacy'];

/** Keeps the rules of this node with one tool, and removes those of the other tool. */
export class NodeRules {
  readonly #rules: RuleSet;
  readonly #netns: string;
  readonly #instance: string;
  readonly #log: Log;
  readonly #wanted: RuleTool | undefined;
  #keeper: RuleReconciler | undefined;
  /** The rules of the last `ensure`. */
  #wantedRules: RuleSet | undefined;
  /**
   * Accepting rules in the FORWARD chain of iptables, by variant. An accept in one table does not keep another table from
   * dropping the packet.
   */
  readonly #overrules = new Map<Variant, IptablesRules>();

  /**
   * @param instance name of one of several agents on a node; '' for the only one
   * @param wanted undefined: nftables, or iptables where `nft` is not installed
   */
  constructor(netns: string, instance: string, rules: RuleSet, wanted: RuleTool | undefined, log: Log) {
    this.#netns = netns;
    this.#instance = instance;
    this.#rules = rules;
    this.#wanted = wanted;
    this.#log = log;
  }

  get tool(): RuleTool {
    return this.#keeper?.tool ?? this.#wanted ?? 'nftables';
  }

  /**
   * Sets the rules when they differ.
   * @returns true when another program had changed them
   * @throws RipstopError
   */
  async ensure(): Promise<boolean> {
    const rules = withPodInterfaces(this.#rules, this.#netns);
    // Other interfaces of pods change the desired rules.
    const isOther = !isDeepStrictEqual(rules, this.#wantedRules);
    this.#wantedRules = rules;
    this.#keeper ??= await this.#choose(rules);
    const isNew = !(await this.#keeper.holds(rules));
    if (isNew) await this.#keeper.apply(rules);
    const isRestored = await this.#overruleForward(rules);
    return isRestored || (isNew && !isOther);
  }

  /** Removes the rules of both tools. */
  static async remove(netns: string, instance: string): Promise<{ removed: string[]; failures: unknown[] }> {
    const removed: string[] = [];
    const failures: unknown[] = [];
    const keepers = [
      new NftablesRules(netns, instance),
      ...VARIANTS.map(variant => new IptablesRules(netns, instance, undefined, variant)),
    ];
    for (const keeper of keepers) {
      try {
        const name = `${keeper.tool} rules`;
        if ((await keeper.remove()) && !removed.includes(name)) removed.push(name);
      } catch (error) {
        if (!isAbsent(error)) failures.push(error);
      }
    }
    return { removed, failures };
  }

  async #choose(rules: RuleSet): Promise<RuleReconciler> {
    const nft = new NftablesRules(this.#netns, this.#instance);
    const iptables = new IptablesRules(this.#netns, this.#instance);
    if (this.#wanted === 'iptables') {
      await nft.remove().catch(() => {});
      return iptables;
    }
    try {
      await nft.apply(rules);
    } catch (error) {
      if (this.#wanted === 'nftables' || !isAbsent(error)) throw error;
      this.#log.warn('nft is not installed: keeping the rules with iptables');
      return iptables;
    }
    for (const variant of VARIANTS)
      await new IptablesRules(this.#netns, this.#instance, undefined, variant).remove().catch(() => {});
    return nft;
  }

  /**
   * Accepts packets of pods in every FORWARD chain of iptables that drops them: by its policy, or by a rule at its end.
   * @returns true when another program had changed the accepting rules
   */
  async #overruleForward(rules: RuleSet): Promise<boolean> {
    if (!rules.forward) return false;
    let isRestored = false;
    const kept = this.#keeper?.tool === 'iptables' ? await defaultVariant() : undefined;
    for (const variant of VARIANTS) {
      if (variant === kept) continue;
      const known = this.#overrules.get(variant);
      if (!known && !(await this.#dropsPods(rules, variant))) continue;
      const overrule = known ?? new IptablesRules(this.#netns, this.#instance, ['filter'], variant);
      if (await overrule.holds(rules)) continue;
      await overrule.apply(rules);
      if (known) isRestored = true;
      else
        this.#log.info(
          { variant },
          'the FORWARD chain of iptables drops packets of pods: accepting them there as well',
        );
      this.#overrules.set(variant, overrule);
    }
    return isRestored;
  }

  async #dropsPods(rules: RuleSet, variant: Variant): Promise<boolean> {
    const samples = podSamples(rules);
    for (const { family } of rules.families) {
      if (!(await variantsInUse(this.#netns, family, 'filter')).includes(variant)) continue;
      const table = await readTable(this.#netns, family, 'filter', variant);
      const chain = table?.chains.get('FORWARD');
      if (table && chain && dropsPods(table, chain, samples)) return true;
    }
    return false;
  }
}

function isAbsent(error: unknown): boolean {
  return hasCode(error, 'ENOENT');
}
