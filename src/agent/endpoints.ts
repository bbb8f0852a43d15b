import { Backoff } from '../base/backoff.ts';
import { describeError } from '../base/errors.ts';
import { componentLog, type Log } from '../base/log.ts';

/** Where a TCP listener is. */
export interface ListenAddress {
  /** IP address. */
  readonly address: string;
  readonly port: number;
}

/** Something that was opened beside the data plane. */
export interface Opened {
  close(): unknown;
}

/** One listener of the agent as `status`, doctor and metrics show it. */
export interface EndpointState {
  /** `health`, `metrics`, `web`, `cni`. */
  readonly name: string;
  /** Address and port, or path. */
  readonly location: string;
  /** Why it is not open; undefined: it is open, or is being opened for the first time. */
  readonly problem: string | undefined;
}

/** First and longest wait between two tries to open an endpoint, ms. */
const FIRST_MS = 500;
const LAST_MS = 10_000;

/**
 * The listeners beside the data plane. One that cannot be opened does not stop the agent: it is named, and tried again
 * until it opens.
 */
export class Endpoints {
  readonly #log: Log;
  readonly #states = new Map<string, EndpointState>();
  readonly #opened: Opened[] = [];
  readonly #work: Promise<void>[] = [];
  readonly #abort = new AbortController();

  constructor(log: Log) {
    this.#log = componentLog(log, 'api');
  }

  get states(): readonly EndpointState[] {
    return [...this.#states.values()];
  }

  /**
   * Opens an endpoint now, or as soon as that is possible.
   * @param changed called with the reason when it cannot be opened, with undefined when it is open
   */
  open(
    name: string,
    location: string,
    open: () => Promise<Opened>,
    changed: (problem: string | undefined) => void = () => {},
  ): void {
    this.#states.set(name, { name, location, problem: undefined });
    this.#work.push(this.#try(name, location, open, changed));
  }

  /** Closes what is open; what is not is given up. */
  async close(): Promise<void> {
    this.#abort.abort();
    await Promise.all(this.#work);
    await Promise.all(this.#opened.map(async one => one.close()));
  }

  async #try(
    name: string,
    location: string,
    open: () => Promise<Opened>,
    changed: (problem: string | undefined) => void,
  ): Promise<void> {
    const { signal } = this.#abort;
    const backoff = new Backoff(FIRST_MS, LAST_MS);
    while (!signal.aborted) {
      try {
        this.#opened.push(await open());
        if (this.#states.get(name)?.problem !== undefined)
          this.#log.info({ endpoint: name, location }, 'endpoint opened');
        this.#states.set(name, { name, location, problem: undefined });
        changed(undefined);
        return;
      } catch (error) {
        const problem = describeError(error);
        if (this.#states.get(name)?.problem !== problem)
          this.#log.warn({ endpoint: name, location }, `endpoint not open, trying again: ${problem}`);
        this.#states.set(name, { name, location, problem });
        changed(problem);
        await backoff.wait(signal);
      }
    }
  }
}
