import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { checkServerIdentity } from 'node:tls';
import { type ChannelCredentials, type Client, connectivityState, credentials } from '@grpc/grpc-js';
import { elementAt } from '../../../base/at.ts';
import { withoutCredentials } from '../../../base/credentials.ts';
import { messageOf, RipstopError } from '../../../base/errors.ts';
import { fail } from '../../../base/schema.ts';
import { loadServices } from './protocol.ts';

export interface EtcdEndpoints {
  /** URLs; `https` means TLS. */
  readonly endpoints: readonly string[];
  readonly keyFile?: string;
  readonly certFile?: string;
  readonly caFile?: string;
}

export type ServiceName = 'KV' | 'Watch' | 'Lease' | 'Auth';

/** One server of the cluster with a connection for each service (grpc-js shares the transport). */
export type Connection = Record<ServiceName, Client>;

/** Bytes of an answer that are accepted. etcd limits a request, and so a value, to 1.5 MiB by default. */
const ANSWER_MAX = 64 << 20;
/** Time after which the next server is tried as well while a connection is being made (RFC 8305), ms. */
const STAGGER_MS = 250;
/** Name in TLS for a server that is given by its address: TLS has no addresses as names (RFC 6066, section 3). */
const ADDRESS_NAME = 'etcd.invalid';

/** Connections to the servers of --etcd-endpoints, of which one is in use. */
export class EtcdConnections {
  readonly #options: EtcdEndpoints;
  readonly #connections: (Connection | undefined)[];
  readonly #services = loadServices();
  #current = 0;
  /** The server in use has answered since the last failure. */
  #isProven = false;
  #choosing: Promise<void> | undefined;

  constructor(options: EtcdEndpoints) {
    if (options.endpoints.length === 0) throw new RipstopError('ECONFIG', '--etcd-endpoints is empty');
    for (const endpoint of options.endpoints) parseEndpoint(endpoint);
    this.#options = options;
    this.#connections = options.endpoints.map(() => undefined);
  }

  get count(): number {
    return this.#connections.length;
  }

  /** URL of the server in use. */
  get endpoint(): string {
    return elementAt(this.#options.endpoints, this.#current);
  }

  get current(): Connection {
    return this.#connect(this.#current);
  }

  /** The server in use has answered. */
  proven(): void {
    this.#isProven = true;
  }

  /** The server in use did not answer: the next one is used. */
  next(): void {
    this.#drop(this.#current);
    this.#current = (this.#current + 1) % this.count;
    this.#isProven = false;
  }

  /** The next call opens another connection. */
  close(): void {
    for (const at of this.#connections.keys()) this.#drop(at);
    this.#isProven = false;
  }

  /**
   * Chooses the first server that accepts a connection, where none is known to answer. A server that is gone would cost
   * the time until the kernel gives up.
   * @param deadline wall clock, ms
   */
  async choose(deadline: number): Promise<void> {
    if (this.#isProven || this.count === 1) return;
    this.#choosing ??= this.#chooseFastest(deadline).finally(() => {
      this.#choosing = undefined;
    });
    await this.#choosing;
  }

  async #chooseFastest(deadline: number): Promise<void> {
    const abort = new AbortController();
    const attempts = this.#connections.map(async (_, step) => {
      const at = (this.#current + step) % this.count;
      await untilAborted(step * STAGGER_MS, abort.signal);
      await isConnected(this.#connect(at).KV, deadline, abort.signal);
      return at;
    });
    try {
      this.#current = await Promise.any(attempts);
      this.#isProven = true;
    } catch {
      // None accepts a connection: the call fails with the reason.
    }
    abort.abort();
    await Promise.allSettled(attempts);
    for (const at of this.#connections.keys()) if (at !== this.#current) this.#drop(at);
  }

  #connect(at: number): Connection {
    const known = this.#connections[at];
    if (known) return known;
    const { target, host, isTls } = parseEndpoint(elementAt(this.#options.endpoints, at));
    // Files are read again at each new connection, so that rotated certificates are taken up.
    const channel = isTls ? this.#tls(host) : credentials.createInsecure();
    const options = {
      'grpc.enable_http_proxy': 0,
      'grpc.keepalive_time_ms': 20_000,
      'grpc.keepalive_timeout_ms': 10_000,
      'grpc.max_receive_message_length': ANSWER_MAX,
      ...(isTls && isIP(host) !== 0 ? { 'grpc.ssl_target_name_override': ADDRESS_NAME } : {}),
    };
    const make = (name: ServiceName): Client => new this.#services[name](target, channel, options);
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

  #tls(host: string): ChannelCredentials {
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
      // The certificate must have the address that was given, whatever the name in TLS is.
      { checkServerIdentity: (_name, certificate) => checkServerIdentity(host, certificate) },
    );
  }
}

/** Resolves when the client has a connection; rejects when the first attempt fails, or time is over. */
async function isConnected(client: Client, deadline: number, signal: AbortSignal): Promise<void> {
  const channel = client.getChannel();
  for (;;) {
    if (signal.aborted) throw new Error('another server was faster');
    const state = channel.getConnectivityState(true);
    if (state === connectivityState.READY) return;
    if (state === connectivityState.TRANSIENT_FAILURE || state === connectivityState.SHUTDOWN)
      throw new Error('no connection');
    // A short deadline, so that the loop sees the signal.
    const until = Math.min(deadline, Date.now() + STAGGER_MS);
    const changed = await new Promise<boolean>(resolve => {
      channel.watchConnectivityState(state, until, error => resolve(error === undefined));
    });
    if (!changed && Date.now() >= deadline) throw new Error('no connection in time');
  }
}

async function untilAborted(ms: number, signal: AbortSignal): Promise<void> {
  if (ms === 0) return;
  await new Promise<void>(resolve => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve();
    });
  });
  if (signal.aborted) throw new Error('another server was faster');
}

function parseEndpoint(endpoint: string): { target: string; host: string; isTls: boolean } {
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
  return {
    target: `${url.hostname}:${url.port || '2379'}`,
    host: url.hostname.replace(/^\[|\]$/g, ''),
    isTls: url.protocol === 'https:',
  };
}
