import { isDeepStrictEqual } from 'node:util';
import { hasCode } from '../../base/errors.ts';
import type { Log } from '../../base/log.ts';
import { dropsForwarded, IptablesRules } from './iptables.ts';
import type { RuleReconciler, RuleSet } from './model.ts';
import { NftablesRules } from './nftables.ts';
import { withPodInterfaces } from './pod-interfaces.ts';

/** The rules of this node with the tool of choice; what the other tool left is taken away. */
export class NodeRules {
  readonly #rules: RuleSet;
  readonly #netns: string;
  readonly #instance: string;
  readonly #log: Log;
  readonly #wanted: 'nftables' | 'iptables' | undefined;
  #keeper: RuleReconciler | undefined;
  /** As they were wanted last. */
  #wantedRules: RuleSet | undefined;
  /** Beside nftables: an accept there does not overrule a foreign FORWARD policy DROP, one in iptables does. */
  #overrule: IptablesRules | undefined;

  /**
   * @param instance names the rules of one of several agents on a node; '' where there is one
   * @param wanted undefined: nftables, or iptables where there is no `nft`
   */
  constructor(
    netns: string,
    instance: string,
    rules: RuleSet,
    wanted: 'nftables' | 'iptables' | undefined,
    log: Log,
  ) {
    this.#netns = netns;
    this.#instance = instance;
    this.#rules = rules;
    this.#wanted = wanted;
    this.#log = log;
  }

  get tool(): 'nftables' | 'iptables' {
    return this.#keeper?.tool ?? this.#wanted ?? 'nftables';
  }

  /**
   * Puts the rules in place when they are not.
   * @returns true when they were there before and somebody had changed them
   * @throws RipstopError
   */
  async ensure(): Promise<boolean> {
    const rules = withPodInterfaces(this.#rules, this.#netns);
    // Other interfaces of pods are news of this node, and not a change of the rules by somebody else.
    const isOther = !isDeepStrictEqual(rules, this.#wantedRules);
    this.#wantedRules = rules;
    this.#keeper ??= await this.#choose(rules);
    const isNew = !(await this.#keeper.holds(rules));
    if (isNew) await this.#keeper.apply(rules);
    return (await this.#overruleForward()) || (isNew && !isOther);
  }

  /** Takes away what either tool ever made. */
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
      this.#log.warn('there is no nft here: keeping the rules with iptables');
      return iptables;
    }
    await iptables.remove().catch(() => {});
    return nft;
  }

  async #overruleForward(): Promise<boolean> {
    if (this.#keeper?.tool !== 'nftables' || !this.#rules.forward) return false;
    if (!this.#overrule && !(await dropsForwarded(this.#netns))) return false;
    if (!this.#overrule)
      this.#log.info('the FORWARD chain of iptables drops by default: accepting pod traffic there too');
    this.#overrule ??= new IptablesRules(this.#netns, this.#instance, ['filter']);
    if (await this.#overrule.holds(this.#rules)) return false;
    await this.#overrule.apply(this.#rules);
    return true;
  }
}

function isAbsent(error: unknown): boolean {
  return hasCode(error, 'ENOENT');
}
