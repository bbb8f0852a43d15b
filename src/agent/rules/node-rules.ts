import { isDeepStrictEqual } from 'node:util';
import { hasCode } from '../../base/errors.ts';
import type { Log } from '../../base/log.ts';
import { dropsForwarded, IptablesRules } from './iptables.ts';
import type { RuleReconciler, RuleSet, RuleTool } from './model.ts';
import { NftablesRules } from './nftables.ts';
import { withPodInterfaces } from './pod-interfaces.ts';

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
  /** Used in addition to nftables, where an accept does not overrule a foreign FORWARD policy DROP of iptables. */
  #overrule: IptablesRules | undefined;

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
    return (await this.#overruleForward()) || (isNew && !isOther);
  }

  /** Removes the rules of both tools. */
  static async remove(netns: string, instance: string): Promise<{ removed: string[]; failures: unknown[] }> {
    const removed: string[] = [];
    const failures: unknown[] = [];
    for (const keeper of [new NftablesRules(netns, instance), new IptablesRules(netns, instance)]) {
      try {
        if (await keeper.remove()) removed.push(`${keeper.tool} rules`);
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
    await iptables.remove().catch(() => {});
    return nft;
  }

  async #overruleForward(): Promise<boolean> {
    if (this.#keeper?.tool !== 'nftables' || !this.#rules.forward) return false;
    if (!this.#overrule && !(await dropsForwarded(this.#netns))) return false;
    if (!this.#overrule)
      this.#log.info('the FORWARD chain of iptables drops by default: accepting pod traffic there as well');
    this.#overrule ??= new IptablesRules(this.#netns, this.#instance, ['filter']);
    if (await this.#overrule.holds(this.#rules)) return false;
    await this.#overrule.apply(this.#rules);
    return true;
  }
}

function isAbsent(error: unknown): boolean {
  return hasCode(error, 'ENOENT');
}
