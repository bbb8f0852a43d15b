import { codeOf, describeError, hasCode } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import type { EventRecorder } from './event-recorder.ts';
import type { Readiness } from './readiness.ts';

/** Why the next network cannot start. The same reason is reported once, however often the start is tried. */
export class StartFault {
  #text: string | undefined;
  readonly #readiness: Readiness;
  readonly #events: EventRecorder;
  readonly #log: Log;

  constructor(readiness: Readiness, events: EventRecorder, log: Log) {
    this.#readiness = readiness;
    this.#events = events;
    this.#log = log;
  }

  /** Undefined after a start without a fault. */
  get text(): string | undefined {
    return this.#text;
  }

  clear(): void {
    this.#text = undefined;
  }

  /** @param hasNetwork the present network stays */
  note(error: unknown, hasNetwork: boolean): void {
    const text = describeError(error);
    if (hasNetwork && hasCode(error, 'ENOLEASE', 'EINUSE', 'ERANGE'))
      this.#readiness.setFalse('identity', text);
    const isNews = hasNetwork ? this.#text !== text : this.#readiness.setFalse('overlay', text);
    this.#text = text;
    if (!isNews) return;
    const state = hasNetwork ? 'the present overlay stays' : 'not working yet';
    this.#log.error({ code: codeOf(error) }, `${state}: ${text}`);
    this.#events.record('Warning', hasNetwork ? 'RipstopFault' : 'RipstopNotReady', text);
  }
}
