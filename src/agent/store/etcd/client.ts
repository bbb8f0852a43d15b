import {
  type CallOptions,
  type Client,
  type ClientDuplexStream,
  Metadata,
  type ServiceError,
} from '@grpc/grpc-js';
import { RipstopError } from '../../../base/errors.ts';
import { type Connection, EtcdConnections, type EtcdEndpoints, type ServiceName } from './connections.ts';
import { etcdError, isRefusedToken, isTooLarge, isUnreachable } from './errors.ts';
import { bounded, type KeyRange, type KeyValue } from './keys.ts';
import type { Compare, RawKeyValue, WatchResponse } from './protocol.ts';

export interface EtcdOptions extends EtcdEndpoints {
  readonly username?: string;
  readonly password?: string;
  /** How long one call may take, ms. */
  readonly deadlineMs?: number;
}

/** What a transaction does when its conditions hold. `lease` is a lease id, `0` for none. */
export type Operation = { put: string; value: string; lease: string };

export type WatchStream = ClientDuplexStream<object, WatchResponse>;
type Unary = (
  request: object,
  metadata: Metadata,
  options: CallOptions,
  done: (error: ServiceError | null, response: never) => void,
) => void;

/** All keys of a range at one revision. */
export interface KeyList {
  readonly revision: string;
  readonly kvs: readonly KeyValue[];
  /** Id of the cluster. */
  readonly cluster: string;
}

interface RangePage {
  header: { clusterId: string; revision: string };
  kvs: RawKeyValue[];
  more: boolean;
}

/** Keys of one answer; fewer when they are large. */
const PAGE = 1000;
/** A condition that never holds: no key has so many versions. */
const NEVER = '9223372036854775807';

/**
 * The part of etcd's v3 API over gRPC that leases need. A call goes to the server that answered last, and to the next one
 * when that server is unreachable; each failure is a RipstopError ESTORE.
 */
export class EtcdClient {
  readonly #options: EtcdOptions;
  readonly #connections: EtcdConnections;
  readonly #deadlineMs: number;
  #token: string | undefined;
  #isClosed = false;

  constructor(options: EtcdOptions) {
    this.#options = options;
    this.#deadlineMs = options.deadlineMs ?? 5000;
    this.#connections = new EtcdConnections(options);
  }

  /**
   * All keys of a range.
   * @param revision of the list; absent: the newest
   */
  async list({ from, end }: KeyRange, revision = '0'): Promise<KeyList> {
    const kvs: KeyValue[] = [];
    let key = from;
    let limit = PAGE;
    // All pages are of one revision: the watch reports changes between two of them.
    let at = revision;
    for (;;) {
      let page: RangePage;
      try {
        page = await this.#call<RangePage>('KV', 'Range', { key, rangeEnd: end, limit, revision: at });
      } catch (error) {
        if (limit === 1 || !isTooLarge(error)) throw error;
        limit = Math.max(1, limit >> 3);
        continue;
      }
      if (at === '0') at = page.header.revision;
      for (const kv of page.kvs) kvs.push(bounded(kv));
      const last = page.kvs.at(-1);
      if (!page.more || !last) return { revision: at, kvs, cluster: page.header.clusterId };
      key = Buffer.concat([last.key, Buffer.of(0)]);
    }
  }

  async get(key: string): Promise<KeyValue | undefined> {
    const response = await this.#call<{ kvs: RawKeyValue[] }>('KV', 'Range', { key: Buffer.from(key) });
    return response.kvs[0] && bounded(response.kvs[0]);
  }

  async delete(key: string): Promise<void> {
    await this.#call('KV', 'DeleteRange', { key: Buffer.from(key) });
  }

  /** Does the operations when every condition holds. Revision of the change, or undefined when one did not hold. */
  async transact(
    conditions: readonly Compare[],
    operations: readonly Operation[],
  ): Promise<string | undefined> {
    const success = operations.map(({ put, value, lease }) => ({
      requestPut: { key: Buffer.from(put), value: Buffer.from(value), lease },
    }));
    const compare = conditions.map(condition => ({ ...condition, key: Buffer.from(condition.key) }));
    const response = await this.#call<{ succeeded: boolean; header: { revision: string } }>('KV', 'Txn', {
      compare,
      success,
    });
    return response.succeeded ? response.header.revision : undefined;
  }

  /**
   * Fails as a write of `key` would fail (rights, space, quorum), and writes nothing: etcd checks all operations of a
   * transaction, also of one whose condition does not hold.
   */
  async tryWrite(key: string): Promise<void> {
    const never = { key, result: 'EQUAL', target: 'VERSION', version: NEVER } as const;
    await this.transact([never], [{ put: key, value: '', lease: '0' }]);
  }

  /** A new lease of `seconds`; its id. */
  async grant(seconds: number): Promise<string> {
    return (await this.#call<{ ID: string }>('Lease', 'LeaseGrant', { TTL: String(seconds) })).ID;
  }

  async revoke(lease: string): Promise<void> {
    await this.#call('Lease', 'LeaseRevoke', { ID: lease });
  }

  /** Seconds until a lease ends (0 or less: it is gone), and the time that it was granted for. */
  async timeToLive(lease: string): Promise<{ left: number; granted: number }> {
    const { TTL, grantedTTL } = await this.#call<{ TTL: string; grantedTTL: string }>(
      'Lease',
      'LeaseTimeToLive',
      { ID: lease },
    );
    return { left: Number(TTL), granted: Number(grantedTTL) };
  }

  /** Prolongs a lease by the time that it was granted for. Seconds left; 0 or less: it is gone. */
  async keepAlive(lease: string): Promise<number> {
    return this.#withEndpoint(async connection => {
      const stream = (
        connection.Lease as unknown as Record<
          string,
          (m: Metadata, o: CallOptions) => ClientDuplexStream<object, { TTL: string }>
        >
      ).LeaseKeepAlive!(await this.#metadata(), this.#deadline());
      try {
        return await new Promise<number>((resolve, reject) => {
          stream.on('data', response => resolve(Number(response.TTL)));
          stream.on('error', reject);
          stream.on('end', () => reject(new Error('etcd ended the keep-alive')));
          stream.write({ ID: lease });
        });
      } finally {
        stream.on('error', () => {});
        stream.cancel();
      }
    });
  }

  /** Opens a watch on a range from `revision` on. The caller reads the stream and cancels it. */
  async watch({ from, end }: KeyRange, revision: string): Promise<WatchStream> {
    const metadata = await this.#metadata();
    // A server that is cut off from its cluster ends the watch.
    metadata.set('hasleader', 'true');
    const client = this.#connections.current.Watch as unknown as { Watch(metadata: Metadata): WatchStream };
    const stream = client.Watch(metadata);
    // Fragments: events of many large keys would not fit into one response.
    stream.write({ createRequest: { key: from, rangeEnd: end, startRevision: revision, fragment: true } });
    return stream;
  }

  /** An error of a stream in the words of the other errors. */
  failure(error: unknown): RipstopError {
    return etcdError(error, this.#connections.endpoint, this.#deadlineMs);
  }

  /** The next call opens another connection. */
  reconnect(): void {
    this.#connections.close();
  }

  close(): void {
    this.#isClosed = true;
    this.reconnect();
  }

  async #call<T>(service: ServiceName, method: string, request: object): Promise<T> {
    return this.#withEndpoint(connection => this.#unary<T>(connection, service, method, request));
  }

  async #unary<T>(connection: Connection, service: ServiceName, method: string, request: object): Promise<T> {
    const metadata = service === 'Auth' ? new Metadata() : await this.#metadata();
    const client = connection[service] as Client as unknown as Record<string, Unary>;
    const call = client[method];
    if (!call) throw new RangeError(`bug: etcd has no method ${method}`);
    return new Promise<T>((resolve, reject) => {
      call.call(client, request, metadata, this.#deadline(), (error, response) =>
        error ? reject(error) : resolve(response),
      );
    });
  }

  /** Tries every server once, the last good one first; a refused token is renewed once. */
  async #withEndpoint<T>(work: (connection: Connection) => Promise<T>): Promise<T> {
    let failure: unknown;
    let isTokenFresh = false;
    for (let left = this.#connections.count; left > 0; ) {
      if (this.#isClosed) throw new RipstopError('ESTORE', 'the etcd client is closed');
      try {
        await this.#connections.choose(Date.now() + this.#deadlineMs);
        const result = await work(this.#connections.current);
        this.#connections.proven();
        return result;
      } catch (error) {
        failure = this.failure(error);
        if (this.#options.username && !isTokenFresh && isRefusedToken(error as ServiceError)) {
          this.#token = undefined;
          isTokenFresh = true;
          continue;
        }
        if (!isUnreachable(error as ServiceError)) break;
        this.#connections.next();
        left--;
      }
    }
    throw failure;
  }

  async #metadata(): Promise<Metadata> {
    const metadata = new Metadata();
    const { username, password } = this.#options;
    if (!username) return metadata;
    if (this.#token === undefined) {
      const request = { name: username, password: password ?? '' };
      this.#token = (
        await this.#unary<{ token: string }>(this.#connections.current, 'Auth', 'Authenticate', request)
      ).token;
    }
    metadata.set('token', this.#token);
    return metadata;
  }

  #deadline(): CallOptions {
    return { deadline: Date.now() + this.#deadlineMs };
  }
}
