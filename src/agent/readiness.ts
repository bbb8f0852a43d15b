import type { Log } from '../base/log.ts';
import { describeSubnets, type Lease } from './lease/lease.ts';
import type { LeaseStore } from './lease/store.ts';
import type { Part } from './overlay/part-attempts.ts';

/** What is required before pods can be attached and their packets can flow. */
export type Condition =
  | 'overlay'
  | 'underlay'
  | 'peers'
  | 'kernel'
  | 'rules'
  | 'subnet.env'
  | 'identity'
  | 'cni';

/** Conditions of the network's parts. A part without one (the blackhole route) does not stop packets of pods. */
const CONDITION_OF: Partial<Record<Part, Condition>> = {
  'kernel state': 'kernel',
  rules: 'rules',
  'subnet.env': 'subnet.env',
};

/** Why the node is not ready, by condition; ready when every condition is true. */
export class Readiness {
  readonly #falseConditions = new Map<Condition, string>([
    ['overlay', 'the overlay is being started'],
    ['peers', 'the leases of the other nodes are not known yet'],
  ]);
  readonly #becameReady: () => void;

  /** @param becameReady called when the last false condition becomes true */
  constructor(becameReady: () => void) {
    this.#becameReady = becameReady;
  }

  get isReady(): boolean {
    return this.#falseConditions.size === 0;
  }

  /** @returns true when the condition was false */
  setTrue(condition: Condition): boolean {
    const wasFalse = this.#falseConditions.delete(condition);
    if (wasFalse && this.isReady) this.#becameReady();
    return wasFalse;
  }

  /** @returns true when the condition was true, or false for another reason */
  setFalse(condition: Condition, reason: string): boolean {
    if (this.#falseConditions.get(condition) === reason) return false;
    this.#falseConditions.set(condition, reason);
    return true;
  }

  /** Sets the conditions of the network's parts. @returns the reasons of those that became false */
  update(failing: ReadonlyMap<Part, string>): string[] {
    const parts = Object.entries(CONDITION_OF) as [Part, Condition][];
    const reasons: string[] = [];
    // All failures first: the node must not become ready between two conditions.
    for (const [part, condition] of parts) {
      const reason = failing.get(part);
      if (reason !== undefined && this.setFalse(condition, reason)) reasons.push(`${part}: ${reason}`);
    }
    for (const [part, condition] of parts) if (!failing.has(part)) this.setTrue(condition);
    return reasons;
  }

  reason(condition: Condition): string | undefined {
    return this.#falseConditions.get(condition);
  }

  /** One line per reason. */
  reasons(): string[] {
    return [...this.#falseConditions].map(([condition, reason]) => `${condition}: ${reason}`);
  }
}

/** Logs that the node is ready, and has the store record it with the subnets of this node. */
export function announceReady(log: Log, store: LeaseStore, lease: Lease | undefined): void {
  log.info({ ready: true, lease: lease?.key }, 'ready: packets can flow');
  store.ready?.(`pod subnet ${describeSubnets(lease)}`);
}
