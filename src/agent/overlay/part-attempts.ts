import { codeOf, describeError } from '../../base/errors.ts';
import type { Log } from '../../base/log.ts';
import type { RepairCounts } from './repair-counts.ts';

/** The parts of a network. A part that fails does not stop the others. */
export type Part = 'kernel state' | 'blackhole route' | 'forwarding of pods' | 'rules' | 'subnet.env';

/** Comparisons of the parts of a network. A failure is counted, and logged unless it repeats. */
export class PartAttempts {
  readonly #errors = new Map<Part, string>();
  readonly #repairs: RepairCounts;
  readonly #log: Log;

  constructor(repairs: RepairCounts, log: Log) {
    this.#repairs = repairs;
    this.#log = log;
  }

  /** Parts whose last comparison failed, with the reason of each. */
  get errors(): ReadonlyMap<Part, string> {
    return this.#errors;
  }

  async make(part: Part, work: () => Promise<void>): Promise<void> {
    try {
      await work();
      if (this.#errors.delete(part)) this.#log.info({ part }, `${part}: works again`);
    } catch (error) {
      this.#repairs.failures++;
      const text = describeError(error);
      if (this.#errors.get(part) !== text) this.#log.error({ part, code: codeOf(error) }, `${part}: ${text}`);
      this.#errors.set(part, text);
    }
  }
}
