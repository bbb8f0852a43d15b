import { connect, type Socket } from 'node:net';
import { messageOf, RipstopError } from '../../base/errors.ts';
import { readJson } from '../../base/schema.ts';
import { formatEndpoint } from '../../ip/address.ts';
import { Lines } from './lines.ts';
import {
  answerField,
  CONTROL_VERSION,
  type Discarded,
  type Invitation,
  type SinkFigures,
  type SinkReply,
  type SinkRequest,
} from './messages.ts';

const CONNECT_MS = 5000;

/** The connection to a sink. */
export class SinkClient {
  readonly #lines: Lines;
  readonly #name: string;
  readonly #family: '4' | '6';

  private constructor(lines: Lines, name: string, family: 4 | 6) {
    this.#lines = lines;
    this.#name = name;
    this.#family = family === 4 ? '4' : '6';
  }

  /** @param source own address, undefined: that of the route @throws RipstopError EREFUSED when no sink answers */
  static connect(
    { address, port, family }: { address: string; port: number; family: 4 | 6 },
    source: string | undefined,
  ): Promise<SinkClient> {
    const name = formatEndpoint(address, port);
    return new Promise((done, fail) => {
      const socket = connect({
        host: address,
        port,
        ...(source === undefined ? {} : { localAddress: source }),
      });
      const refuse = (why: string, cause?: unknown) => {
        socket.destroy();
        fail(
          new RipstopError(
            'EREFUSED',
            `no sink answers at ${name}: ${why}`,
            'start `ripstop sink` there; nothing is sent to an address that does not ask for it',
            { cause },
          ),
        );
      };
      const timer = setTimeout(() => refuse(`no connection within ${CONNECT_MS / 1000} s`), CONNECT_MS);
      socket.once('error', error => {
        clearTimeout(timer);
        refuse(messageOf(error), error);
      });
      socket.once('connect', () => {
        clearTimeout(timer);
        done(new SinkClient(new Lines(socket), name, family));
      });
    });
  }

  /** Own address and the sink's, as the kernel chose them. */
  get localAddress(): string {
    return this.#lines.socket.localAddress ?? '';
  }

  /** Calls `gone` when the connection ends, however it ends. @returns what takes that back */
  onGone(gone: () => void): () => void {
    const { socket } = this.#lines;
    if (socket.destroyed) gone();
    socket.once('close', gone);
    return () => socket.off('close', gone);
  }

  /** Asks for a stream; an earlier one of this connection ends. @throws RipstopError EREFUSED */
  async invite(flows: number, destination = ''): Promise<Invitation> {
    const answer = await this.#ask({ kind: 'invite', flows, destination });
    if (answer.kind !== 'invitation') throw this.#misunderstood(answer);
    return answer;
  }

  async start(offsetNs: number): Promise<SinkFigures> {
    return this.#figures({ kind: 'start', offsetNs });
  }

  async figures(): Promise<SinkFigures> {
    return this.#figures({ kind: 'figures' });
  }

  async end(): Promise<SinkFigures> {
    return this.#figures({ kind: 'end' });
  }

  /** Has the sink discard what is written to this connection from now on. */
  async discard(): Promise<{ socket: Socket; discarded: () => Promise<Discarded> }> {
    const answer = await this.#ask({ kind: 'discard' });
    if (answer.kind !== 'discarding') throw this.#misunderstood(answer);
    const { socket } = this.#lines;
    const discarded = async () => {
      const last = await this.#read();
      if (last.kind !== 'discarded') throw this.#misunderstood(last);
      return last;
    };
    return { socket, discarded };
  }

  close(): void {
    this.#lines.socket.destroy();
  }

  async #figures(request: Pick<SinkRequest, 'kind'> & Partial<SinkRequest>): Promise<SinkFigures> {
    const answer = await this.#ask(request);
    if (answer.kind !== 'figures') throw this.#misunderstood(answer);
    return answer;
  }

  async #ask(request: Pick<SinkRequest, 'kind'> & Partial<SinkRequest>): Promise<SinkReply> {
    this.#lines.send({
      version: CONTROL_VERSION,
      family: this.#family,
      flows: 1,
      offsetNs: 0,
      destination: '',
      ...request,
    });
    return this.#read();
  }

  async #read(): Promise<SinkReply> {
    const line = await this.#lines.next();
    if (line === undefined)
      throw new RipstopError('EREFUSED', `the sink at ${this.#name} has closed the connection`);
    return readJson(answerField, line, `answer of ${this.#name}`, 'EREFUSED');
  }

  #misunderstood(answer: SinkReply): RipstopError {
    const why = answer.kind === 'refused' ? answer.reason : `it answered ${answer.kind}`;
    return new RipstopError('EREFUSED', `the sink at ${this.#name} refuses: ${why}`);
  }
}
