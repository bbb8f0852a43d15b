/** What must hold before pods' packets can flow. */
export type Condition = 'overlay' | 'underlay' | 'peers' | 'kernel' | 'identity';

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

  reasonFor(condition: Condition): string | undefined {
    return this.#lacking.get(condition);
  }

  /** One line a reason. */
  reasons(): string[] {
    return [...this.#lacking].map(([condition, reason]) => `${condition}: ${reason}`);
  }
}
