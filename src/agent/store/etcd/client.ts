import { readFileSync } from 'node:fs';
import {
  type CallOptions,
  type ChannelCredentials,
  type Client,
  type ClientDuplexStream,
  credentials,
  Metadata,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import { elementAt } from '../../../base/at.ts';
import { withoutCredentials } from '../../../base/credentials.ts';
import { messageOf, RipstopError } from '../../../base/errors.ts';
import { fail } from '../../../base/schema.ts';
import { type Compare, type KeyValue, loadServices, type WatchResponse } from './protocol.ts';

export interface EtcdOptions {
  /** URLs; `https` means TLS. */
  readonly endpoints: readonly string[];
  readonly keyFile?: string;
  readonly certFile?: string;
  readonly caFile?: string;
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
type Name = 'KV' | 'Watch' | 'Lease' | 'Auth';

/** One server of the cluster with a connection for each service (grpc-js shares the transport). */
type Connection = Record<Name, Client>;

interface RangePage {
  header: { clusterId: string; revision: string };
  kvs: KeyValue[];
  more: boolean;
}

/** Keys of one answer: etcd's own limit is 4 MiB of it. */
const PAGE = 1000;

/**
 * The part of etcd's v3 API over gRPC that leases need. A call goes to the server that answered last, and to the next one
 * when that server is unreachable; each failure is a RipstopError ESTORE.
 */
export class EtcdClient {
  readonly #options: EtcdOptions;
  readonly #connections: (Connection | undefined)[];
  readonly #services = loadServices();
  #current = 0;
  #token: string | undefined;
  #isClosed = false;

  constructor(options: EtcdOptions) {
    if (options.endpoints.length === 0) throw new RipstopError('ECONFIG', '--etcd-endpoints is empty');
    for (const endpoint of options.endpoints) parseEndpoint(endpoint);
    this.#options = options;
    this.#connections = options.endpoints.map(() => undefined);
  }

  /** All keys that begin with `prefix`, the revision of the list, and the id of the cluster. */
  async list(prefix: string): Promise<{ revision: string; kvs: KeyValue[]; cluster: string }> {
    const rangeEnd = endOfPrefix(prefix);
    const kvs: KeyValue[] = [];
    let key = Buffer.from(prefix);
    // All pages are of one revision: the watch reports changes between two of them.
    let revision = '0';
    for (;;) {
      const page = await this.#call<RangePage>('KV', 'Range', { key, rangeEnd, limit: PAGE, revision });
      if (revision === '0') revision = page.header.revision;
      for (const kv of page.kvs) kvs.push(kv);
      const last = page.kvs.at(-1);
      if (!page.more || !last) return { revision, kvs, cluster: page.header.clusterId };
      key = Buffer.concat([last.key, Buffer.of(0)]);
    }
  }

  async get(key: string): Promise<KeyValue | undefined> {
    const response = await this.#call<{ kvs: KeyValue[] }>('KV', 'Range', { key: Buffer.from(key) });
    return response.kvs[0];
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

  /** A new lease of `seconds`; its id. */
  async grant(seconds: number): Promise<string> {
    return (await this.#call<{ ID: string }>('Lease', 'LeaseGrant', { TTL: String(seconds) })).ID;
  }

  async revoke(lease: string): Promise<void> {
    await this.#call('Lease', 'LeaseRevoke', { ID: lease });
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

  /** Opens a watch on everything below `prefix` from `revision` on. The caller reads the stream and cancels it. */
  async watch(prefix: string, revision: string): Promise<WatchStream> {
    const connection = this.#connect(this.#current);
    const metadata = await this.#metadata();
    // A server that is cut off from its cluster ends the watch.
    metadata.set('hasleader', 'true');
    const client = connection.Watch as unknown as { Watch(metadata: Metadata): WatchStream };
    const stream = client.Watch(metadata);
    stream.write({
      createRequest: { key: Buffer.from(prefix), rangeEnd: endOfPrefix(prefix), startRevision: revision },
    });
    return stream;
  }

  /** The next call opens another connection. */
  reconnect(): void {
    for (const at of this.#connections.keys()) this.#drop(at);
  }

  close(): void {
    this.#isClosed = true;
    this.reconnect();
  }

  async #call<T>(service: Name, method: string, request: object): Promise<T> {
    return this.#withEndpoint(connection => this.#unary<T>(connection, service, method, request));
  }

  async #unary<T>(connection: Connection, service: Name, method: string, request: object): Promise<T> {
    const metadata = service === 'Auth' ? new Metadata() : await this.#metadata();
    const client = connection[service] as unknown as Record<string, Unary>;
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
    for (let left = this.#connections.length; left > 0; ) {
      if (this.#isClosed) throw new RipstopError('ESTORE', 'the etcd client is closed');
      try {
        return await work(this.#connect(this.#current));
      } catch (error) {
        failure = error;
        const code = (error as Partial<ServiceError>).code;
        if (this.#options.username && !isTokenFresh && isRefusedToken(error as ServiceError)) {
          this.#token = undefined;
          isTokenFresh = true;
          continue;
        }
        if (code !== status.UNAVAILABLE && code !== status.DEADLINE_EXCEEDED) break;
        this.#drop(this.#current);
        this.#current = (this.#current + 1) % this.#connections.length;
        left--;
      }
    }
    throw this.#failure(failure);
  }

  #failure(error: unknown): RipstopError {
    if (error instanceof RipstopError) return error;
    const { code, details, message } = error as Partial<ServiceError>;
    const hint =
      code === status.UNAVAILABLE || code === status.DEADLINE_EXCEEDED
        ? 'is a server of --etcd-endpoints up, and are its TLS files right?'
        : code === status.PERMISSION_DENIED ||
            code === status.UNAUTHENTICATED ||
            code === status.INVALID_ARGUMENT
          ? 'check --etcd-username, --etcd-password, and that the role may read and write below --etcd-prefix'
          : undefined;
    return new RipstopError('ESTORE', `etcd: ${details || message}`, hint, { cause: error });
  }

  async #metadata(): Promise<Metadata> {
    const metadata = new Metadata();
    const { username, password } = this.#options;
    if (!username) return metadata;
    if (this.#token === undefined) {
      const request = { name: username, password: password ?? '' };
      this.#token = (
        await this.#unary<{ token: string }>(this.#connect(this.#current), 'Auth', 'Authenticate', request)
      ).token;
    }
    metadata.set('token', this.#token);
    return metadata;
  }

  #deadline(): CallOptions {
    return { deadline: Date.now() + (this.#options.deadlineMs ?? 5000) };
  }

  #connect(at: number): Connection {
    const known = this.#connections[at];
    if (known) return known;
    const { target, isTls } = parseEndpoint(elementAt(this.#options.endpoints, at));
    // Files are read again at each new connection, so that rotated certificates are taken up.
    const channel = isTls ? this.#tls() : credentials.createInsecure();
    const options = {
      'grpc.enable_http_proxy': 0,
      'grpc.keepalive_time_ms': 20_000,
      'grpc.keepalive_timeout_ms': 10_000,
    };
    const make = (name: Name): Client => new this.#services[name](target, channel, options);
    const made: Connection = {
      KV: make('KV'),
      Watch: make('Watch'),
      Lease: make('Lease'),
      Auth: make('Auth'),
    };
    this.#connections[at] = made;
    return made;
  }

  #drop(at: number): void {
    const connection = this.#connections[at];
    this.#connections[at] = undefined;
    if (connection) for (const client of Object.values(connection)) client.close();
  }

  #tls(): ChannelCredentials {
    const { caFile, keyFile, certFile } = this.#options;
    if (!keyFile !== !certFile)
      throw new RipstopError(
        'ECONFIG',
        'only one of --etcd-keyfile and --etcd-certfile is given',
        'give both or none',
      );
    const read = (path: string | undefined, flag: string): Buffer | null => {
      if (!path) return null;
      try {
        return readFileSync(path);
      } catch (error) {
        // It may be replaced at this moment; ECONFIG would be a fault of the network configuration.
        throw new RipstopError('ESTORE', `--etcd-${flag}: ${messageOf(error)}`);
      }
    };
    return credentials.createSsl(
      read(caFile, 'cafile'),
      read(keyFile, 'keyfile'),
      read(certFile, 'certfile'),
    );
  }
}

function isRefusedToken(error: ServiceError): boolean {
  return (
    error.code === status.UNAUTHENTICATED ||
    /invalid auth token|revision of auth store is old/.test(error.details ?? '')
  );
}

function parseEndpoint(endpoint: string): { target: string; isTls: boolean } {
  const text = endpoint.includes('://') ? endpoint : `http://${endpoint}`;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url?.hostname || !/^https?:$/.test(url.protocol))
    fail(
      '--etcd-endpoints',
      `${JSON.stringify(withoutCredentials(endpoint))} is not a URL`,
      'as in http://10.0.0.1:2379',
    );
  if (url.username || url.password)
    fail(
      '--etcd-endpoints',
      `${withoutCredentials(endpoint)} is given with a user or a password`,
      'they belong in --etcd-username and --etcd-password',
    );
  return { target: `${url.hostname}:${url.port || '2379'}`, isTls: url.protocol === 'https:' };
}

/** First key after all that begin with `prefix`: its last byte plus one (our prefixes end in '/'). */
function endOfPrefix(prefix: string): Buffer {
  const end = Buffer.from(prefix);
  end.writeUInt8(end.readUInt8(end.length - 1) + 1, end.length - 1);
  return end;
}
