import { inspect } from 'node:util';

/** For this long after a message its repetitions are counted. */
const WINDOW_MS = 60_000;
/** Messages that are remembered at once; the oldest is forgotten first. */
const REMEMBERED = 256;

type Args = readonly unknown[];

interface Remembered {
  readonly component: string | undefined;
  readonly args: Args;
  readonly print: (args: Args) => void;
  readonly timer: NodeJS.Timeout;
  count: number;
}

/** Counts messages that are repeated, so that a fault that lasts does not fill the log. */
export class Repeats {
  readonly #remembered = new Map<string, Remembered>();

  /**
   * Prints a message, or counts it when the same one was printed within the last minute. What was counted is printed with
   * the field `repeated` when the minute is over, and the next minute begins.
   * @param args of a pino method: fields and message, or the message alone
   */
  log(component: string | undefined, args: Args, print: (args: Args) => void): void {
    // Not JSON: errors and big numbers have a text here.
    const key = inspect([component, ...args]);
    const known = this.#remembered.get(key);
    if (known) {
      known.count++;
      return;
    }
    print(args);
    const timer = setTimeout(() => this.#expire(key), WINDOW_MS);
    // A repetition is not worth keeping a process for.
    timer.unref();
    this.#remembered.set(key, { component, args, print, timer, count: 0 });
    const [oldest] = this.#remembered.keys();
    if (this.#remembered.size > REMEMBERED && oldest !== undefined) this.#forget(oldest);
  }

  /** Prints what was counted of a component, and forgets it. */
  flush(component: string | undefined): void {
    for (const [key, known] of this.#remembered) if (known.component === component) this.#forget(key);
  }

  flushAll(): void {
    for (const key of this.#remembered.keys()) this.#forget(key);
  }

  #expire(key: string): void {
    const known = this.#remembered.get(key);
    if (!known || known.count === 0) {
      this.#forget(key);
      return;
    }
    printCount(known);
    known.count = 0;
    known.timer.refresh();
  }

  #forget(key: string): void {
    const known = this.#remembered.get(key);
    if (!known) return;
    this.#remembered.delete(key);
    clearTimeout(known.timer);
    printCount(known);
  }
}

function printCount({ args: [first, ...rest], count, print }: Remembered): void {
  if (count === 0) return;
  if (typeof first === 'string') print([{ repeated: count }, first, ...rest]);
  else
    print([{ ...(first instanceof Error ? { err: first } : (first as object)), repeated: count }, ...rest]);
}
