import { Backoff } from '../../../base/backoff.ts';
import { toError } from '../../../base/errors.ts';
import { KubeError, type KubeHttp } from './http.ts';

/** What every object has. */
interface ApiObject {
  metadata: { name: string; resourceVersion?: string };
}

interface ObjectList<T> {
  metadata: { resourceVersion: string; continue?: string };
  items: T[];
}

interface WatchLine<T> {
  type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';
  object: T & { code?: number; reason?: string; message?: string };
}

export interface InformerEvents<T> {
  /** The part of an object that is of use: a Node has ten times as much, and thousands of them are listed. */
  pick(item: T): T;
  /** A new list: what is not in it is gone. */
  replaced(items: readonly T[]): void;
  changed(item: T): void;
  deleted(name: string): void;
  up(): void;
  down(error: Error): void;
}

/** Objects of one page of a list. */
export const PAGE = 500;
/** The server ends a watch after this time; bookmarks come about every minute, so double silence means a dead peer. */
const WATCH_SECONDS = 300;
const SILENCE_MS = 150_000;

/**
 * Follows a collection: a paged list, then a watch with bookmarks from the list's resourceVersion on. A watch that
 * ends or breaks goes on from the last version seen; when that version is too old (410 Gone) the list is read again.
 */
export class Informer<T extends ApiObject> {
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
        let token = '';
        let version = '';
        do {
          const page = await this.#http.get<ObjectList<T>>(
            `${this.#path}?limit=${PAGE}${token ? `&continue=${encodeURIComponent(token)}` : ''}`,
          );
          for (const item of page.items) items.push(this.#events.pick(item));
          version ||= page.metadata.resourceVersion;
          token = page.metadata.continue ?? '';
        } while (token);
        this.#events.replaced(items);
        return version;
      } catch (error) {
        // The continue token may expire between two pages: begin anew.
        if (!(error instanceof KubeError && error.status === 410) || attempt >= 3) throw error;
      }
    }
  }

  /** Reads one watch to its end, giving each resourceVersion that was reached. */
  async *#watch(from: string): AsyncGenerator<string> {
    const query = `watch=1&allowWatchBookmarks=true&timeoutSeconds=${WATCH_SECONDS}&resourceVersion=${encodeURIComponent(from)}`;
    for await (const { type, object } of this.#http.watch<WatchLine<T>>(
      `${this.#path}?${query}`,
      this.#abort.signal,
      SILENCE_MS,
    )) {
      if (type === 'ERROR')
        throw new KubeError(object.code ?? 500, object.reason ?? '', `watch: ${object.message ?? 'failed'}`);
      if (type === 'DELETED') this.#events.deleted(object.metadata.name);
      else if (type !== 'BOOKMARK') this.#events.changed(object);
      if (object.metadata.resourceVersion) yield object.metadata.resourceVersion;
    }
  }
}
