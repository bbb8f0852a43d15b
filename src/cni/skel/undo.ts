import { describeError } from '../../base/errors.ts';

/**
 * What has been done and how to take it back. Each step of an ADD pushes its reverse as soon as it has succeeded;
 * a failure unwinds the stack, newest first. A reverse that fails is logged, and the rest is still run: the caller
 * gets the first fault.
 */
export class Undo {
  readonly #steps: { what: string; reverse: () => unknown }[] = [];
  readonly #log: (line: string) => void;

  constructor(log: (line: string) => void) {
    this.#log = log;
  }

  /** `what` completes "could not ...", for the log line when the reverse itself fails. */
  push(what: string, reverse: () => unknown): void {
    this.#steps.push({ what, reverse });
  }

  async unwind(): Promise<void> {
    for (let step = this.#steps.pop(); step; step = this.#steps.pop()) {
      try {
        await step.reverse();
      } catch (error) {
        this.#log(`undo: could not ${step.what}: ${describeError(error)}`);
      }
    }
  }

  /** Runs `work` and unwinds what it pushed when it throws; the thrown value goes on to the caller. */
  static async guard<T>(log: (line: string) => void, work: (undo: Undo) => Promise<T>): Promise<T> {
    const undo = new Undo(log);
    try {
      return await work(undo);
    } catch (error) {
      await undo.unwind();
      throw error;
    }
  }
}
