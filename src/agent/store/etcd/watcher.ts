import { Backoff } from '../../../base/backoff.ts';
import { RipstopError, toError } from '../../../base/errors.ts';
import type { EtcdClient, WatchStream } from './client.ts';
import { bounded, type KeyValue } from './keys.ts';
import { type KeyPart, listParts } from './parts.ts';
import type { WatchResponse } from './protocol.ts';

export interface WatcherEvents {
  /**
   * A new list: what is not in it is gone.
   * @param emptied why it is the list of another store than before; undefined when it is not
   * @param denied optional parts that the role may not read
   */
  replaced(kvs: readonly KeyValue[], emptied: string | undefined, denied: ReadonlySet<KeyPart>): void;
  /** One key was written (`isDeleted` false), or deleted. */
  changed(kv: KeyValue, isDeleted: boolean): void;
  up(): void;
  down(error: Error): void;
}

/**
 * Follows some parts of the keys: a list, then one watch per part from the next revision on. When a watch breaks, or fell
 * behind compaction, all are replaced by a new list and new watches, so nothing that changed in the gap is missed.
 */
export class EtcdWatcher {
  readonly #client: EtcdClient;
  readonly #parts: readonly KeyPart[];
  readonly #events: WatcherEvents;
  readonly #abort = new AbortController();
  readonly #done: Promise<void>;
  #streams: WatchStream[] = [];
  /** Ends the present watches without a failure. */
  #endWatches: ((failure?: Error) => void) | undefined;
  /** Cluster id and revision of the last list or watch response. */
  #last: { cluster: string; revision: string } | undefined;

  constructor(client: EtcdClient, parts: readonly KeyPart[], events: WatcherEvents) {
    this.#client = client;
    this.#parts = parts;
    this.#events = events;
    this.#done = this.#run();
  }

  /** Lists and watches again, over another connection. */
  reconnect(): void {
    const reason = 'etcd: reconnecting, the addresses of this node changed';
    for (const stream of this.#streams) stream.destroy(new RipstopError('ESTORE', reason));
  }

  /** Lists and watches again: the role may read more than before. */
  refresh(): void {
    this.#endWatches?.();
  }

  async close(): Promise<void> {
    this.#abort.abort();
    this.#endWatches?.();
    await this.#done;
  }

  async #run(): Promise<void> {
    const backoff = new Backoff();
    const signal = this.#abort.signal;
    let isUp: boolean | undefined;
    while (!signal.aborted) {
      try {
        const { revision, kvs, cluster, denied } = await listParts(this.#client, this.#parts);
        if (signal.aborted) return;
        this.#events.replaced(kvs, this.#isAnother(cluster, revision), denied);
        const parts = this.#parts.filter(part => !denied.has(part));
        const failure = await this.#watch(parts, successor(revision), () => {
          backoff.reset();
          if (isUp !== true) this.#events.up();
          isUp = true;
        });
        if (failure) throw failure;
      } catch (error) {
        if (signal.aborted) return;
        if (isUp !== false) this.#events.down(toError(error));
        isUp = false;
        // The next list finds a server that answers, and the watches use the same one.
        await backoff.wait(signal);
      }
    }
  }

  /** Why a list is that of another store than the list before: another cluster, or other data of the same one. */
  #isAnother(cluster: string, revision: string): string | undefined {
    const former = this.#last;
    this.#last = { cluster, revision };
    if (!former) return undefined;
    if (former.cluster !== cluster)
      return `the etcd cluster ${clusterName(cluster)} answers instead of ${clusterName(former.cluster)}`;
    // Within one cluster the revision only grows; a cluster that is set up again with the same members has the same id.
    if (BigInt(revision) < BigInt(former.revision))
      return `the revision of etcd went back from ${former.revision} to ${revision}`;
    return undefined;
  }

  /** Reads watches until one of them ends. @returns why it broke; undefined after a compaction, and when they were ended here */
  async #watch(parts: readonly KeyPart[], from: string, opened: () => void): Promise<Error | undefined> {
    let waiting = parts.length;
    let end!: (failure?: Error) => void;
    const ended = new Promise<Error | undefined>(resolve => {
      end = resolve;
    });
    this.#endWatches = end;
    if (this.#abort.signal.aborted) end();
    try {
      for (const { range } of parts) {
        const stream = await this.#client.watch(range, from);
        this.#streams.push(stream);
        stream.on('data', (response: WatchResponse) => {
          const last = this.#readResponse(response);
          if (last) end(last.failure);
          else if (response.created && --waiting === 0) opened();
        });
        stream.on('error', error =>
          end(this.#abort.signal.aborted ? undefined : this.#client.failure(error)),
        );
        stream.on('end', () => end(broken('the server ended it')));
      }
      return await ended;
    } finally {
      this.#endWatches = undefined;
      for (const stream of this.#streams) stream.cancel();
      this.#streams = [];
    }
  }

  /** @returns undefined while the watch continues */
  #readResponse(response: WatchResponse): { failure: Error | undefined } | undefined {
    const { canceled, compactRevision, cancelReason, header, events } = response;
    if (canceled) return { failure: compactRevision === '0' ? broken(cancelReason) : undefined };
    if (header.clusterId !== this.#last?.cluster) return { failure: broken('another etcd cluster answers') };
    if (BigInt(header.revision) > BigInt(this.#last.revision))
      this.#last = { cluster: header.clusterId, revision: header.revision };
    for (const { type, kv } of events) this.#events.changed(bounded(kv), type === 'DELETE');
    return undefined;
  }
}

function broken(reason: string): RipstopError {
  return new RipstopError('ESTORE', `etcd: watch ended: ${reason || 'no reason given'}`);
}

/** As etcd's logs print it. */
function clusterName(id: string): string {
  return BigInt(id).toString(16);
}

function successor(revision: string): string {
  return String(BigInt(revision) + 1n);
}
