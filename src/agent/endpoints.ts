import { Backoff } from '../base/backoff.ts';
import { describeError } from '../base/errors.ts';
import { componentLog, type Log } from '../base/log.ts';

/** Address of a TCP listener. */
export interface ListenAddress {
  /** IP address. */
  readonly address: string;
  readonly port: number;
}

/** An open listener. */
export interface Opened {
  close(): unknown;
}

/** A listener as `status`, doctor and metrics show it. */
export interface EndpointState {
  /** `health`, `metrics`, `web`, `cni`. */
  readonly name: string;
  /** Address and port, or path. */
  readonly location: string;
  /** Why it is not open; undefined: it is open, or the first attempt is in progress. */
  readonly problem: string | undefined;
}

/** First and longest time between two attempts to open an endpoint, ms. */
const FIRST_MS = 500;
const LAST_MS = 10_000;

/** The listeners of the agent. A listener that cannot be opened does not stop the agent: it is reported and tried again. */
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
   * Opens an endpoint now, or as soon as possible.
   * @param changed called with the reason when it cannot be opened, and with undefined when it is open
   */
  open(
    name: string,
    location: string,
    open: () => Promise<Opened>,
    changed: (problem: string | undefined) => void = () => {},
  ): void {
    this.#states.set(name, { name, location, problem: undefined });
    this.#work.push(
      this.#try(open, problem => {
        const former = this.#states.get(name)?.problem;
        this.#states.set(name, { name, location, problem });
        const about = { endpoint: name, location };
        if (problem !== undefined && former !== problem)
          this.#log.warn(about, `endpoint not open, trying again: ${problem}`);
        if (problem === undefined && former !== undefined) this.#log.info(about, 'endpoint opened');
        changed(problem);
      }),
    );
  }

  /** Closes the open endpoints and stops the attempts to open the others. */
  async close(): Promise<void> {
    this.#abort.abort();
    await Promise.all(this.#work);
    await Promise.all(this.#opened.map(async one => one.close()));
  }

  async #try(open: () => Promise<Opened>, changed: (problem: string | undefined) => void): Promise<void> {
    const { signal } = this.#abort;
    const backoff = new Backoff(FIRST_MS, LAST_MS);
    while (!signal.aborted) {
      try {
        this.#opened.push(await open());
        changed(undefined);
        return;
      } catch (error) {
        changed(describeError(error));
        await backoff.wait(signal);
      }
    }
  }
}
