import { createSocket, type Socket } from 'node:dgram';
import { connect, createServer, type Server } from 'node:net';
import * as measure from '../../../encap/wire/measure.ts';

/** What is done to a packet of a stream. */
export type Disturbance = 'pass' | 'lose' | 'repeat' | 'hold' | 'delay';

export interface Disturbed {
  lost: number;
  repeated: number;
  held: number;
  passed: number;
  /** Times for which delayed packets were kept, ms. */
  readonly delays: number[];
}

/** Packets that pass before one that is held back. */
const HELD_BEHIND = 3;

/**
 * A node in the middle: passes the control connection and the packets of a stream on to a sink, and does to each packet what a
 * rule says, exactly. Probes, and answers of the sink, pass.
 */
export class Disturber {
  readonly disturbed: Disturbed = { lost: 0, repeated: 0, held: 0, passed: 0, delays: [] };
  readonly #rule: (sequence: number) => Disturbance;
  readonly #delayMs: number;
  readonly #sinkPort: number;
  readonly #server: Server;
  readonly #inside = createSocket('udp4');
  readonly #outside = new Map<number, Socket>();
  readonly #held: { send: () => void; behind: number }[] = [];

  private constructor(sinkPort: number, rule: (sequence: number) => Disturbance, delayMs: number) {
    this.#sinkPort = sinkPort;
    this.#rule = rule;
    this.#delayMs = delayMs;
    this.#server = createServer(client => {
      const sink = connect(sinkPort, '127.0.0.1');
      client.pipe(sink).pipe(client);
      for (const [one, other] of [
        [client, sink],
        [sink, client],
      ] as const) {
        one.on('error', () => other.destroy());
        one.on('close', () => other.destroy());
      }
    });
    this.#inside.on('message', (packet, { port }) => this.#take(packet, port));
  }

  static async open(
    sinkPort: number,
    rule: (sequence: number) => Disturbance,
    delayMs = 0,
  ): Promise<Disturber> {
    const made = new Disturber(sinkPort, rule, delayMs);
    await new Promise<void>(done => made.#inside.bind(0, '127.0.0.1', done));
    await new Promise<void>(done => made.#server.listen(made.port, '127.0.0.1', done));
    return made;
  }

  get port(): number {
    return this.#inside.address().port;
  }

  #take(packet: Buffer, port: number): void {
    const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
    const send = () => this.#socketFor(port).send(packet, this.#sinkPort, '127.0.0.1');
    if (measure.check(view, 0, packet.length) === 0) throw new Error('not a packet of a stream');
    if ((measure.flags(view, 0) & measure.FLAG_PROBE) !== 0) {
      send();
      return;
    }
    const { disturbed } = this;
    switch (this.#rule(measure.sequence(view, 0))) {
      case 'lose':
        disturbed.lost++;
        return;
      case 'repeat':
        disturbed.repeated++;
        send();
        break;
      case 'hold':
        disturbed.held++;
        this.#held.push({ send, behind: HELD_BEHIND });
        return;
      case 'delay': {
        const from = performance.now();
        setTimeout(() => {
          disturbed.delays.push(performance.now() - from);
          send();
        }, this.#delayMs);
        return;
      }
      case 'pass':
        break;
    }
    disturbed.passed++;
    send();
    for (const held of this.#held) held.behind--;
    while (this.#held[0] && this.#held[0].behind <= 0) this.#held.shift()?.send();
  }

  /** The socket towards the sink of a sender's port. */
  #socketFor(port: number): Socket {
    const known = this.#outside.get(port);
    if (known) return known;
    const socket = createSocket('udp4');
    socket.on('message', answer => this.#inside.send(answer, port, '127.0.0.1'));
    this.#outside.set(port, socket);
    return socket;
  }

  close(): void {
    this.#server.close();
    this.#inside.close();
    for (const socket of this.#outside.values()) socket.close();
  }
}
