import { Backoff } from '../../../base/backoff.ts';
import { toError } from '../../../base/errors.ts';
import { anyValue, listOf, oneOf, openObject, readKnown, required, text } from '../../../base/schema.ts';
import { KubeError, type KubeHttp, STATUS_FIELDS } from './http.ts';

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
  up(): void;
  down(error: Error): void;
}

/** Objects of one page of a list. */
export const PAGE = 500;
/** The server ends a watch after this time; bookmarks come about every minute, so a watch that is silent for twice that time is broken. */
const WATCH_SECONDS = 300;
const SILENCE_MS = 150_000;

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

  constructor(http: KubeHttp, path: string, events: InformerEvents<T>) {
    this.#http = http;
    this.#path = path;
    this.#events = events;
    this.#done = this.#run();
  }

  async close(): Promise<void> {
    this.#abort.abort();
    await this.#done;
  }

  async #run(): Promise<void> {
    const backoff = new Backoff();
    const signal = this.#abort.signal;
    let version: string | undefined;
    let isUp: boolean | undefined;
    while (!signal.aborted) {
      try {
        version ??= await this.#list();
        if (signal.aborted) return;
        if (isUp !== true) this.#events.up();
        isUp = true;
        const from: string = version;
        for await (const seen of this.#watch(from)) {
          version = seen;
          backoff.reset();
        }
        // A server that ends every watch at once must not be asked in a tight loop.
        if (version === from) await backoff.wait(signal);
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof KubeError && error.status === 410) {
          version = undefined;
          await backoff.wait(signal);
          continue;
        }
        if (isUp !== false) this.#events.down(toError(error));
        isUp = false;
        await backoff.wait(signal);
      }
    }
  }

  /** Reads all pages; the resourceVersion of the first one is where the watch begins. */
  async #list(): Promise<string> {
    for (let attempt = 0; ; attempt++) {
      try {
        const items: T[] = [];
        let unread = 0;
        let token = '';
        let version = '';
        do {
          const page = await this.#http.get(
            `${this.#path}?limit=${PAGE}${token ? `&continue=${encodeURIComponent(token)}` : ''}`,
            LIST_FIELDS,
          );
          for (const object of page.items) {
            const item = this.#events.read(object);
            if (item === undefined) unread++;
            else items.push(item);
          }
          version ||= page.metadata.resourceVersion;
          token = page.metadata.continue ?? '';
        } while (token);
        this.#events.replaced(items, unread);
        return version;
      } catch (error) {
        // The continue token may expire between two pages: the list is read again.
        if (!(error instanceof KubeError && error.status === 410) || attempt >= 3) throw error;
      }
    }
  }

  /** Reads one watch to its end, giving each resourceVersion that was reached. */
  async *#watch(from: string): AsyncGenerator<string> {
    const query = `watch=1&allowWatchBookmarks=true&timeoutSeconds=${WATCH_SECONDS}&resourceVersion=${encodeURIComponent(from)}`;
    const { signal } = this.#abort;
    const lines = this.#http.watch(`${this.#path}?${query}`, WATCH_FIELDS, signal, SILENCE_MS);
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
