import { createServer, type Server, type Socket } from 'node:net';
import { listening, openPrivately } from '../../../base/private-socket.ts';
import { PacketSocket } from '../../../net/packet/packet-socket.ts';
import { changeLink, getLink } from '../../../net/rtnetlink/links.ts';
import { withSocket } from '../../../net/rtnetlink/socket.ts';
import type { Result } from '../../result/types.ts';
import { CniError, CODE, encodeError, toCniError } from '../../skel/errors.ts';
import { acquire, type SearchLimits } from './exchange.ts';
import { clientOf, DhcpLease, type LeaseEvents, resultOf, withTerms } from './lease.ts';
import { LeaseFiles, type LeaseKey, type StoredLease } from './lease-files.ts';
import { type DhcpRequest, readRequest } from './request.ts';

export const DEFAULT_STATE_DIR = '/var/lib/cni/dhcp';

interface DaemonOptions {
  socket: string;
  /** Descriptor of a socket that listens already and is not ours to remove. */
  fd?: number;
  stateDir: string;
  /** Put before the path of a namespace. */
  hostPrefix?: string;
  /** Ask the servers to answer by broadcast. */
  broadcast?: boolean;
  limits: SearchLimits;
  log(line: string): void;
  /** Milliseconds since 1970. */
  now(): number;
}

const REQUEST_MAX = 1 << 20;
/** Time for a request to arrive, ms. */
const REQUEST_MS = 10_000;
/** Connections at once: a node has some hundred pods. */
const CLIENTS_MAX = 1024;
/** Answer to the reference plugin, which uses Go's net/rpc over HTTP and would wait forever. */
const REFUSAL = 'HTTP/1.0 501 the daemon of Ripstop serves the dhcp plugin of Ripstop alone\r\n\r\n';

/** Keeps the leases of pods. Its state is on disk, so it can be restarted while pods run. */
export class DhcpDaemon {
  readonly #options: DaemonOptions;
  readonly #files: LeaseFiles;
  readonly #leases = new Map<string, DhcpLease>();
  /** Ends the search for an address of an attachment: its runtime may give up before this daemon does. */
  readonly #asking = new Map<string, AbortController>();
  #socket: { close(): Promise<unknown> } | undefined;

  constructor(options: DaemonOptions) {
    this.#options = options;
    this.#files = new LeaseFiles(options.stateDir);
  }

  /** Takes up the leases on disk and opens the socket. @throws errors of the file system */
  async start(): Promise<void> {
    for (const stored of this.#files.list(this.#options.log)) this.#keep(stored);
    this.#socket = await this.#open();
  }

  async #open(): Promise<{ close(): Promise<unknown> }> {
    const { socket: path, fd, log } = this.#options;
    const create = (): Server => {
      const server = createServer({ allowHalfOpen: true }, client => this.#converse(client));
      server.maxConnections = CLIENTS_MAX;
      return server;
    };
    if (fd === undefined) return openPrivately({ path, part: 'dhcp', create, log });
    const server = create();
    await listening(server, { fd }, 'dhcp');
    return { close: () => new Promise(done => server.close(done)) };
  }

  /** Ends the daemon, not the leases. */
  async stop(): Promise<void> {
    for (const lease of this.#leases.values()) lease.stop();
    this.#leases.clear();
    await this.#socket?.close();
  }

  #keep(stored: StoredLease): DhcpLease {
    const events: LeaseEvents = {
      now: this.#options.now,
      log: this.#options.log,
      requestMs: this.#options.limits.requestMs,
      renewed: lease => this.#files.write(lease),
      ended: lease => {
        this.#leases.delete(keyOf(lease));
        this.#files.remove(lease);
      },
    };
    const lease = new DhcpLease(stored, events);
    this.#leases.set(keyOf(stored), lease);
    return lease;
  }

  #converse(client: Socket): void {
    let text = '';
    client.setEncoding('utf8');
    client.on('error', () => {});
    client.setTimeout(REQUEST_MS, () => client.destroy());
    client.on('data', chunk => {
      text += chunk;
      if (text.length > REQUEST_MAX) client.destroy();
      else if (!text.startsWith('{')) client.end(REFUSAL);
    });
    client.on('end', () => {
      if (client.writableEnded || client.destroyed) return;
      // The exchange with the DHCP server may take longer.
      client.setTimeout(0);
      this.#work(text).then(
        result => client.end(JSON.stringify({ result: result ?? null })),
        error => client.end(JSON.stringify({ error: encodeError(toCniError(error), undefined) })),
      );
    });
  }

  async #work(text: string): Promise<Result | undefined> {
    const request = readRequest(text);
    switch (request.method) {
      case 'allocate':
        return this.#allocate(request);
      case 'release':
        return this.#release(keyOf(request));
      case 'check': {
        const lease = this.#leases.get(keyOf(request));
        if (!lease) throw new CniError(CODE.INTERNAL, `lease not found: ${keyOf(request)}`);
        return resultOf(lease.stored);
      }
      case 'collect': {
        const valid = new Set(
          request.valid.map(one =>
            keyOf({ network: request.network, containerId: one.containerID, ifname: one.ifname }),
          ),
        );
        const stale = [...this.#leases].filter(
          ([key, one]) => one.stored.network === request.network && !valid.has(key),
        );
        for (const [key] of stale) await this.#release(key);
        return undefined;
      }
      case 'status':
        return undefined;
    }
  }

  async #allocate(request: Extract<DhcpRequest, { method: 'allocate' }>): Promise<Result> {
    const { network, containerId, ifname, provide, request: wanted, priority } = request;
    const { limits, broadcast = false, hostPrefix = '', now } = this.#options;
    const netns = `${hostPrefix}${request.netns}`;
    // The runtime repeats a failed ADD: the previous lease is not needed any more.
    await this.#release(keyOf(request));
    const link = withSocket(netns, socket => {
      const found = getLink(socket, ifname);
      if (!found.up) changeLink(socket, found.index, { up: true });
      return found;
    });
    const blank: StoredLease = {
      network,
      containerId,
      ifname,
      netns,
      link: link.index,
      address: '',
      server: '',
      provide,
      request: wanted,
      priority,
      options: [],
      grantedAt: 0,
    };
    const transport = new PacketSocket(netns, link.index);
    const stop = new AbortController();
    this.#asking.set(keyOf(request), stop);
    try {
      const client = { ...clientOf(blank, link.mac), broadcast };
      const terms = await acquire(transport, client, limits, now, stop.signal);
      const stored = withTerms(blank, terms, now());
      this.#files.write(stored);
      return resultOf(this.#keep(stored).stored);
    } finally {
      if (this.#asking.get(keyOf(request)) === stop) this.#asking.delete(keyOf(request));
      transport.close();
    }
  }

  async #release(key: string): Promise<undefined> {
    this.#asking.get(key)?.abort(new CniError(CODE.TRY_AGAIN_LATER, 'the attachment was deleted meanwhile'));
    const lease = this.#leases.get(key);
    if (!lease) return undefined;
    this.#leases.delete(key);
    await lease.release();
    this.#files.remove(lease.stored);
    return undefined;
  }
}

function keyOf({ network, containerId, ifname }: LeaseKey): string {
  return `${containerId}/${network}/${ifname}`;
}
