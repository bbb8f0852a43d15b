import type { Attachment } from '../config/network.ts';
import { runAll } from '../link/netlink-pair.ts';
import type { Call } from '../skel/plugin.ts';

/*
 * The configured back end decides only where ADD puts its rules. A pod may have been wired with another configuration, or by
 * the reference plugins, so DEL, CHECK and GC go through every place in which there may be rules: our table of nftables, both
 * variants of iptables, and the reference's tables of nftables. For a place without rules that is one query to the kernel.
 */

export const BACKENDS = ['nftables', 'iptables'] as const;
export type BackendName = (typeof BACKENDS)[number];

/** The rules of one feature (masquerading, firewall, host ports) in one place. `Spec` is what a pod needs of the feature. */
export interface ExistingRules<Spec> {
  /** Removes the attachment's rules, found by its name alone. That there are none is fine. */
  remove(call: Call): Promise<void>;
  /** @returns the parts of `spec` (addresses, host ports) without rules here */
  check(call: Call, spec: Spec): Promise<string[]>;
  /** Removes the rules of the network that belong to no valid attachment. */
  gc(call: Call, valid: readonly Attachment[]): Promise<void>;
}

/** A place in which ADD can put rules. */
export interface RuleBackend<Spec> extends ExistingRules<Spec> {
  add(call: Call, spec: Spec): Promise<void>;
}

/** The rules of a feature in all places together: a part is missing where no place has it. */
export function everyBackend<Spec>(places: readonly ExistingRules<Spec>[]): ExistingRules<Spec> {
  return {
    remove: call => runAll(places.map(one => () => one.remove(call))),
    async check(call, spec) {
      let missing: string[] | undefined;
      for (const one of places) {
        const here = await one.check(call, spec);
        missing = missing?.filter(part => here.includes(part)) ?? here;
        if (missing.length === 0) break;
      }
      return missing ?? [];
    },
    gc: (call, valid) => runAll(places.map(one => () => one.gc(call, valid))),
  };
}
