import { randomInt } from 'node:crypto';
import { createServer, type Server, type Socket } from 'node:net';
import { keyOf } from '../../../encap/wire/measure.ts';
import { hasCode, messageOf, RipstopError } from '../../base/errors.ts';
import { readJson } from '../../base/schema.ts';
import { formatAddress, mappedBytesOf, requireAddress, unmapped } from '../../ip/address.ts';
import { native } from '../../native/load.ts';
import { bootId } from '../control/boot-id.ts';
import { Lines } from '../control/lines.ts';
import {
  CONTROL_VERSION,
  requestField,
  type SinkFigures,
  type SinkReply,
  type SinkRequest,
} from '../control/messages.ts';
import { discard } from './discard.ts';
import { Receiver, type ReceiverOptions } from './receiver.ts';

/** Streams at once: 1 MiB of window each. */
const STREAMS_MAX = 16;
/** Control connections at once; a further one is refused. */
const CLIENTS_MAX = 64;

export interface SinkOptions {
  /** Where packets come from, one thread each. */
  readonly sources: readonly Omit<ReceiverOptions, 'port'>[];
  /** Addresses behind a device whose packets are counted as well. */
  readonly behind: readonly string[];
  /** TCP and UDP port; 0: any free one. */
  readonly port: number;
  /** Called at the end of each stream, and with an error of a connection. */
  readonly onStream: (from: string, figures: SinkFigures) => void;
  readonly onError: (from: string, message: string) => void;
}

interface Stream {
  readonly key: number;
  readonly number: number;
  readonly receiver: Receiver;
  /** What the receiver had dropped when the stream began. */
  readonly droppedBefore: number;
}

/** Counts the streams that it invited, for any number of clients. */
export class Sink {
  readonly #options: SinkOptions;
  readonly #receivers = new Map<4 | 6, { readonly receiver: Receiver; readonly source: ReceiverOptions }>();
  readonly #servers: Server[] = [];
  readonly #clients = new Set<Client>();
  readonly #numbers = new Set<number>();
  #port = 0;

  private constructor(options: SinkOptions) {
    this.#options = options;
  }

  /** @throws RipstopError EINUSE, ENODEV, EPRIV, EADDRNOTAVAIL */
  static async open(options: SinkOptions): Promise<Sink> {
    const sink = new Sink(options);
    try {
      await sink.#listen();
      return sink;
    } catch (error) {
      await sink.close();
      throw error;
    }
  }

  async #listen(): Promise<void> {
    this.#port = this.#options.port;
    for (const given of this.#options.sources) {
      const source = { ...given, port: this.#port };
      const { family } = requireAddress(source.address);
      const receiver = new Receiver(source);
      this.#receivers.set(family, { receiver, source });
      this.#port = receiver.port;
      const server = createServer({ allowHalfOpen: true }, socket => this.#accept(socket));
      this.#servers.push(server);
      await listen(server, source.address, this.#port);
    }
  }

  get port(): number {
    return this.#port;
  }

  #accept(socket: Socket): void {
    if (this.#clients.size >= CLIENTS_MAX) {
      const reason = `this sink has ${CLIENTS_MAX} clients already`;
      socket
        .on('error', () => {})
        .end(`${JSON.stringify({ kind: 'refused', reason } satisfies SinkReply)}\n`);
      socket.resume();
      return;
    }
    const client = new Client(socket, this);
    this.#clients.add(client);
    void client.serve().then(() => this.#clients.delete(client));
  }

  /** Invites a stream. @throws RipstopError EREFUSED */
  async invite(request: SinkRequest, from: string): Promise<{ stream: Stream; invitation: SinkReply }> {
    const family = request.family === '4' ? 4 : 6;
    const found = this.#receivers.get(family);
    if (!found) throw new RipstopError('EREFUSED', `this sink does not receive IPv${family}`);
    const { receiver, source } = found;
    if (request.destination !== '' && !this.#options.behind.includes(request.destination))
      throw new RipstopError('EREFUSED', `this sink does not receive for ${request.destination}`);
    const number = this.#freeNumber();
    const nonce = randomInt(2 ** 24);
    const key = keyOf(number, nonce);
    const originSeconds = Math.floor(native.wallClock() / 1000);
    const address = new Int32Array(mappedBytesOf(requireAddress(from)).slice().buffer);
    this.#numbers.add(number);
    receiver.post({ kind: 'open', stream: { key, flows: request.flows, originSeconds, address } });
    const { dropped } = await receiver.figures(key).catch(error => {
      this.#numbers.delete(number);
      throw error;
    });
    return {
      stream: { key, number, receiver, droppedBefore: dropped },
      invitation: {
        kind: 'invitation',
        version: CONTROL_VERSION,
        stream: number,
        nonce,
        port: receiver.port,
        originSeconds,
        bootId: bootId(),
        source: source.kind,
      },
    };
  }

  #freeNumber(): number {
    for (let number = 0; number < STREAMS_MAX; number++) if (!this.#numbers.has(number)) return number;
    throw new RipstopError('EREFUSED', `this sink counts ${STREAMS_MAX} streams already`);
  }

  async figures({ key, receiver, droppedBefore }: Stream): Promise<SinkFigures> {
    const { figures, dropped } = await receiver.figures(key);
    if (!figures) throw new RipstopError('EREFUSED', 'the stream is not there');
    return { kind: 'figures', ...figures, dropped: dropped - droppedBefore };
  }

  /** Ends a stream. @returns its figures */
  async end(stream: Stream, from: string): Promise<SinkFigures> {
    const figures = await this.figures(stream);
    stream.receiver.post({ kind: 'close', key: stream.key });
    this.#numbers.delete(stream.number);
    this.#options.onStream(from, figures);
    return figures;
  }

  failed(from: string, error: unknown): void {
    this.#options.onError(from, messageOf(error));
  }

  /** Ends all streams, whose figures it still gives, and closes everything. */
  async close(): Promise<void> {
    for (const server of this.#servers) server.close();
    await Promise.all([...this.#clients].map(client => client.close()));
    await Promise.all([...this.#receivers.values()].map(({ receiver }) => receiver.close()));
    this.#receivers.clear();
  }
}

/** One control connection. Its end is the end of its stream. */
class Client {
  readonly #sink: Sink;
  readonly #lines: Lines;
  readonly #from: string;
  #stream: Stream | undefined;
  #served: Promise<void> | undefined;

  constructor(socket: Socket, sink: Sink) {
    this.#sink = sink;
    this.#lines = new Lines(socket);
    this.#from = formatAddress(unmapped(requireAddress((socket.remoteAddress ?? '::').replace(/%.*/, ''))));
  }

  serve(): Promise<void> {
    this.#served ??= this.#serve();
    return this.#served;
  }

  async #serve(): Promise<void> {
    try {
      for (let line = await this.#lines.next(); line !== undefined; line = await this.#lines.next()) {
        const request = readJson(requestField, line, 'request', 'ESOCKET');
        if (request.kind === 'discard') return await this.#discard();
        this.#lines.send(await this.#answer(request));
        await this.#lines.drained();
      }
    } catch (error) {
      // A client that goes away without a farewell has only ended its stream.
      if (!hasCode(error, 'ECONNRESET', 'EPIPE')) this.#sink.failed(this.#from, error);
      this.#lines.send({ kind: 'refused', reason: messageOf(error) } satisfies SinkReply);
    } finally {
      this.#lines.socket.end();
      await this.#endStream().catch(error => this.#sink.failed(this.#from, error));
    }
  }

  /** Reads a TCP transfer to its end. */
  async #discard(): Promise<void> {
    const transfer = discard(this.#lines.release());
    this.#lines.send({ kind: 'discarding' } satisfies SinkReply);
    this.#lines.send(await transfer);
  }

  async #answer(request: SinkRequest): Promise<SinkReply> {
    if (request.version !== CONTROL_VERSION)
      throw new RipstopError(
        'EREFUSED',
        `this sink has version ${CONTROL_VERSION} of the control protocol, the request ${request.version}`,
      );
    if (request.kind === 'invite') {
      await this.#endStream();
      const { stream, invitation } = await this.#sink.invite(request, this.#from);
      this.#stream = stream;
      return invitation;
    }
    if (!this.#stream) throw new RipstopError('EREFUSED', 'there is no stream; ask for an invitation first');
    if (request.kind === 'start') {
      const { key, receiver } = this.#stream;
      receiver.post({ kind: 'offset', key, offsetNs: request.offsetNs });
    }
    return request.kind === 'end'
      ? ((await this.#endStream()) as SinkFigures)
      : this.#sink.figures(this.#stream);
  }

  async #endStream(): Promise<SinkFigures | undefined> {
    const stream = this.#stream;
    this.#stream = undefined;
    return stream && this.#sink.end(stream, this.#from);
  }

  async close(): Promise<void> {
    this.#lines.socket.destroy();
    await this.#served;
  }
}

/** @throws RipstopError EINUSE, or the errno name */
function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((done, fail) => {
    server.once('error', error => {
      if (hasCode(error, 'EADDRINUSE'))
        fail(
          new RipstopError('EINUSE', `TCP port ${port} is in use`, 'choose another with --port', {
            cause: error,
          }),
        );
      else fail(error);
    });
    server.listen({ host, port, ipv6Only: host.includes(':') }, done);
  });
}
