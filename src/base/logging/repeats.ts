/** For this long after a message its repetitions are counted. */
const WINDOW_MS = 60_000;
/** Messages that are remembered at once; the oldest is forgotten first. */
const REMEMBERED = 256;

interface Remembered {
  count: number;
  timer: NodeJS.Timeout;
  print: () => void;
}

/** Counts messages that are repeated, so that a fault that lasts does not fill the log. */
export class Repeats {
  readonly #remembered = new Map<string, Remembered>();

  /**
   * Prints a message, or counts it when the same one was printed within the last minute. What was counted is printed when
   * the minute is over, with the field `repeated`.
   * @param args of a pino method: fields and message, or the message alone
   */
  log(
    component: string | undefined,
    args: readonly unknown[],
    print: (args: readonly unknown[]) => void,
  ): void {
    const [fields, message] = typeof args[0] === 'string' ? [undefined, args[0]] : [args[0], args[1]];
    const key = `${component} ${message} ${JSON.stringify(fields)}`;
    const known = this.#remembered.get(key);
    if (known) {
      known.count++;
      known.print = () => print([{ ...(fields as object), repeated: known.count }, message]);
      return;
    }
    print(args);
    const timer = setTimeout(() => this.#forget(key), WINDOW_MS);
    // A repetition is not worth keeping a process for.
    timer.unref();
    this.#remembered.set(key, { count: 0, timer, print: () => {} });
    const [oldest] = this.#remembered.keys();
    if (this.#remembered.size > REMEMBERED && oldest !== undefined) this.#forget(oldest);
  }

  #forget(key: string): void {
    const known = this.#remembered.get(key);
    this.#remembered.delete(key);
    clearTimeout(known?.timer);
    known?.print();
  }
}
