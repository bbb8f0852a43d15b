import { Backoff } from '../../../base/backoff.ts';
import { RipstopError, toError } from '../../../base/errors.ts';
import type { EtcdClient, WatchStream } from './client.ts';
import type { KeyValue, WatchResponse } from './protocol.ts';

export interface MirrorEvents {
  /**
   * A new list: what is not in it is gone. Keys are relative to the prefix, here and below.
   * @param emptied why it is the list of another store than before; undefined when it is not
   */
  replaced(entries: ReadonlyMap<string, KeyValue>, emptied: string | undefined): void;
  /** One key was written, or deleted (undefined). */
  changed(name: string, kv: KeyValue | undefined): void;
  up(): void;
  down(error: Error): void;
}

/**
 * Follows everything below a prefix: a list, then a watch from the next revision on. A watch that breaks, or
 * that fell behind compaction, is replaced by a new list and a new watch, so nothing that changed in the gap is missed.
 */
export class EtcdWatcher {
  readonly #client: EtcdClient;
  readonly #prefix: string;
  readonly #events: MirrorEvents;
  readonly #abort = new AbortController();
  readonly #done: Promise<void>;
  #stream: WatchStream | undefined;
  /** Cluster id and revision of the last list or watch response. */
  #last: { cluster: string; revision: string } | undefined;

  constructor(client: EtcdClient, prefix: string, events: MirrorEvents) {
    this.#client = client;
    this.#prefix = prefix;
    this.#events = events;
    this.#done = this.#run();
  }

  /** Lists and watches again, over another connection. */
  reconnect(): void {
    this.#stream?.destroy(
      new RipstopError('ESTORE', 'etcd: reconnecting, the addresses of this node changed'),
    );
  }

  async close(): Promise<void> {
    this.#abort.abort();
    this.#stream?.cancel();
    await this.#done;
  }

  async #run(): Promise<void> {
    const backoff = new Backoff();
    const signal = this.#abort.signal;
    let next: string | undefined;
    let isUp: boolean | undefined;
    while (!signal.aborted) {
      try {
        if (next === undefined) {
          const { revision, kvs, cluster } = await this.#client.list(this.#prefix);
          if (signal.aborted) return;
          next = successor(revision);
          const emptied = this.#isAnother(cluster, revision);
          this.#events.replaced(new Map(kvs.map(kv => [this.#relative(kv), kv])), emptied);
        }
        const opened = (): void => {
          backoff.reset();
          if (isUp !== true) this.#events.up();
          isUp = true;
        };
        const failure = await this.#watch(next, opened);
        if (failure) throw failure;
        next = undefined;
      } catch (error) {
        if (signal.aborted) return;
        if (isUp !== false) this.#events.down(toError(error));
        isUp = false;
        await backoff.wait(signal);
        // The list finds a server that answers, and the watch uses the same one.
        next = undefined;
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

  /** Reads one watch to its end. @returns why it broke; undefined after a compaction, and when it was closed */
  async #watch(from: string, opened: () => void): Promise<Error | undefined> {
    const stream = await this.#client.watch(this.#prefix, from);
    this.#stream = stream;
    const failure = await new Promise<Error | undefined>(resolve => {
      if (this.#abort.signal.aborted) resolve(undefined);
      stream.on('data', (response: WatchResponse) => {
        if (response.canceled) {
          resolve(response.compactRevision === '0' ? broken(response.cancelReason) : undefined);
          return;
        }
        const { clusterId, revision } = response.header;
        if (clusterId !== this.#last?.cluster) {
          resolve(broken('another etcd cluster answers'));
          return;
        }
        if (BigInt(revision) > BigInt(this.#last.revision)) this.#last = { cluster: clusterId, revision };
        if (response.created) opened();
        for (const { type, kv } of response.events)
          this.#events.changed(this.#relative(kv), type === 'DELETE' ? undefined : kv);
      });
      stream.on('error', error => resolve(this.#abort.signal.aborted ? undefined : error));
      stream.on('end', () => resolve(broken('the server ended it')));
    });
    stream.cancel();
    return failure;
  }

  #relative(kv: KeyValue): string {
    return kv.key.toString().slice(this.#prefix.length);
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
