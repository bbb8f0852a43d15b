import { Backoff } from '../../../base/backoff.ts';
import { monotonicMs } from '../../../base/clock.ts';
import { toError } from '../../../base/errors.ts';
import { anyValue, listOf, oneOf, openObject, readKnown, required, text } from '../../../base/schema.ts';
import type { KubeHttp } from './http.ts';
import { isExpired, KubeError, STATUS_FIELDS } from './kube-error.ts';
import { readPages } from './pages.ts';

const LIST_FIELDS = {
  metadata: required(
    openObject(
      {
        resourceVersion: required(text('a text', 'where a watch begins')),
        continue: text('a text', 'token of the next page'),
      },
      'of the list',
    ),
  ),
  items: required(listOf(anyValue('an object'), 'objects')),
};

const WATCH_FIELDS = {
  type: required(oneOf(['ADDED', 'MODIFIED', 'DELETED', 'BOOKMARK', 'ERROR'], 'what happened')),
  object: required(anyValue('the object, or a Status')),
};

/** What every object has; a bookmark has no name. */
const OBJECT_FIELDS = {
  metadata: required(
    openObject({ name: text('a text', 'name'), resourceVersion: text('a text', 'version') }, 'of the object'),
  ),
};

export interface InformerEvents<T> {
  /** Reads the part of an object that is of use: a Node has ten times as much. Undefined: it is unreadable and skipped. */
  read(object: unknown): T | undefined;
  /** A new list: what is not in it is gone. `unread` is the number of its objects that are unreadable. */
  replaced(items: readonly T[], unread: number): void;
  changed(item: T): void;
  deleted(name: string): void;
  /** A watch is open, for the first time or after `down`. */
  up(): void;
  down(error: Error): void;
  /** The list had expired before it was read; it is read again. */
  expired(error: Error): void;
}

/**
 * The server ends a watch after a time within this range. Bookmarks come about every minute, so a watch that is silent
 * for twice that time is broken.
 */
const WATCH_SECONDS = { least: 300, most: 600 };
const SILENCE_MS = 150_000;
/** A list is not read again at once when the server rejects its version within this time, ms. */
const FRESH_MS = 5000;

/** At random, so that the agents of a cluster do not renew their watches together for ever after a restart of the server. */
function watchSeconds(): number {
  const { least, most } = WATCH_SECONDS;
  return Math.round(least + Math.random() * (most - least));
}

/**
 * Follows a collection: a paged list, then a watch with bookmarks from the list's resourceVersion on. A watch that
 * ends or breaks continues from the last version seen; when that version is too old (410 Gone) the list is read again.
 */
export class Informer<T> {
  readonly #http: KubeHttp;
  readonly #path: string;
  readonly #events: InformerEvents<T>;
  readonly #abort = new AbortController();
  readonly #done: Promise<void>;
  readonly #backoff: Backoff;
  #isUp: boolean | undefined;

  /** @param backoff pauses between attempts to reach the server */
  constructor(http: KubeHttp, path: string, events: InformerEvents<T>, backoff = new Backoff()) {
    this.#http = http;
    this.#path = path;
    this.#events = events;
    this.#backoff = backoff;
    this.#done = this.#run();
  }

  async close(): Promise<void> {
    this.#abort.abort();
    await this.#done;
  }

  async #run(): Promise<void> {
    const backoff = this.#backoff;
    const signal = this.#abort.signal;
    let version: string | undefined;
    /** Until when a version that is too old already shows a fault of the server. */
    let freshUntil = 0;
    while (!signal.aborted) {
      try {
        if (version === undefined) {
          version = await this.#list();
          freshUntil = monotonicMs() + FRESH_MS;
        }
        if (signal.aborted) return;
        const from: string = version;
        for await (const seen of this.#watch(from)) {
          version = seen;
          freshUntil = 0;
          backoff.reset();
        }
        // A server that ends every watch at once must not be asked in a tight loop.
        if (version === from) await backoff.wait(signal);
      } catch (error) {
        if (signal.aborted) return;
        const isTooOld = version !== undefined && isExpired(error);
        if (isTooOld) version = undefined;
        // The server answers: the pause of failed attempts to reach it is over.
        if (isTooOld && monotonicMs() >= freshUntil) continue;
        this.#down(toError(error));
        await backoff.wait(signal);
      }
    }
  }

  #up(): void {
    if (this.#isUp === true) return;
    this.#isUp = true;
    this.#events.up();
  }

  #down(error: Error): void {
    if (this.#isUp === false) return;
    this.#isUp = false;
    this.#events.down(error);
  }

  /** Reads all pages; the resourceVersion of the first one is where the watch begins. */
  async #list(): Promise<string> {
    let items: T[] = [];
    let unread = 0;
    let version = '';
    await readPages({
      signal: this.#abort.signal,
      ask: query => this.#http.list(query === '' ? this.#path : `${this.#path}?${query}`, LIST_FIELDS),
      begin: () => {
        items = [];
        unread = 0;
        version = '';
      },
      take: page => {
        for (const object of page.items) {
          const item = this.#events.read(object);
          if (item === undefined) unread++;
          else items.push(item);
        }
        version ||= page.metadata.resourceVersion;
      },
      expired: error => this.#events.expired(error),
    });
    if (!this.#abort.signal.aborted) this.#events.replaced(items, unread);
    return version;
  }

  /** Reads one watch to its end, giving each resourceVersion that was reached. */
  async *#watch(from: string): AsyncGenerator<string> {
    const query = `watch=1&allowWatchBookmarks=true&timeoutSeconds=${watchSeconds()}&resourceVersion=${encodeURIComponent(from)}`;
    const { signal } = this.#abort;
    const opened = () => this.#up();
    const lines = this.#http.watch(`${this.#path}?${query}`, WATCH_FIELDS, signal, SILENCE_MS, opened);
    for await (const { type, object } of lines) {
      if (type === 'ERROR') {
        const { code = 500, reason = '', message = 'failed' } = readKnown(STATUS_FIELDS, object, 'Status');
        throw new KubeError(code, reason, `watch: ${message}`);
      }
      const { name = '', resourceVersion } = readKnown(OBJECT_FIELDS, object, 'object').metadata;
      if (type === 'DELETED') this.#events.deleted(name);
      else if (type !== 'BOOKMARK') {
        const item = this.#events.read(object);
        if (item !== undefined) this.#events.changed(item);
      }
      if (resourceVersion) yield resourceVersion;
    }
  }
}
