import type { Part } from './overlay/network.ts';

/** What must hold before pods can be wired and their packets can flow. */
export type Condition =
  | 'overlay'
  | 'underlay'
  | 'peers'
  | 'kernel'
  | 'rules'
  | 'subnet.env'
  | 'identity'
  | 'cni';

/** Conditions of the parts of a network. Without the others (a blackhole route) pods' packets flow. */
const CONDITION_OF: Partial<Record<Part, Condition>> = {
  'kernel state': 'kernel',
  rules: 'rules',
  'subnet.env': 'subnet.env',
};

/** Why the node is not ready, by condition; ready when nothing lacks. */
export class Readiness {
  readonly #lacking = new Map<Condition, string>([
    ['overlay', 'the overlay is being started'],
    ['peers', 'the leases of the other nodes are not known yet'],
  ]);

  get isReady(): boolean {
    return this.#lacking.size === 0;
  }

  /** @returns true when this is news */
  has(condition: Condition): boolean {
    return this.#lacking.delete(condition);
  }

  /** @returns true when this is news */
  lacks(condition: Condition, reason: string): boolean {
    if (this.#lacking.get(condition) === reason) return false;
    this.#lacking.set(condition, reason);
    return true;
  }

  /** Takes over which parts of the network fail. `isNews`: one holds again; `reasons`: those that are new. */
  judge(failing: ReadonlyMap<Part, string>): { isNews: boolean; reasons: string[] } {
    let isNews = false;
    const reasons: string[] = [];
    for (const [part, condition] of Object.entries(CONDITION_OF) as [Part, Condition][]) {
      const reason = failing.get(part);
      if (reason === undefined) isNews = this.has(condition) || isNews;
      else if (this.lacks(condition, reason)) reasons.push(`${part}: ${reason}`);
    }
    return { isNews, reasons };
  }

  reasonFor(condition: Condition): string | undefined {
    return this.#lacking.get(condition);
  }

  /** One line per reason. */
  reasons(): string[] {
    return [...this.#lacking].map(([condition, reason]) => `${condition}: ${reason}`);
  }
}
