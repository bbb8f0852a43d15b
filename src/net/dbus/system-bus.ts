import { connect, type Socket } from 'node:net';
import { codeOf, type ErrorCode, RipstopError } from '../../base/errors.ts';
import { type BusMessage, decodeMessage, ERROR, encodeCall, type Method, messageLength } from './message.ts';

/*
 * Calls of methods over the system bus of D-Bus, for the few programs that have no other interface. A bus is a socket of the
 * file system: it is reached from every network namespace.
 */

/** Where the bus is unless DBUS_SYSTEM_BUS_ADDRESS names another one. */
const DEFAULT_ADDRESS = 'unix:path=/run/dbus/system_bus_socket';

/** Longest wait for an answer, ms: the default of the D-Bus libraries. */
const ANSWER_MS = 25_000;
/** Largest message that is read, bytes. */
const MESSAGE_MAX = 1 << 20;

const BUS = {
  destination: 'org.freedesktop.DBus',
  path: '/org/freedesktop/DBus',
  interface: 'org.freedesktop.DBus',
} as const;

/** The error that a called program, or the bus in its place, has answered with. */
export class BusError extends Error {
  /** As in `org.freedesktop.DBus.Error.ServiceUnknown`. */
  override readonly name: string;

  constructor(name: string, text: string) {
    super(text || name);
    this.name = name;
  }
}

/** Path of the socket for Node (a NUL begins an abstract name); undefined for an address of another kind. */
function socketOf(address: string): string | undefined {
  for (const one of address.split(';')) {
    const [, kind, value = ''] = /^unix:(?:.*,)?(path|abstract)=([^,]*)/.exec(one) ?? [];
    const name = value.replace(/%([0-9a-fA-F]{2})/g, (_, hex) =>
      String.fromCharCode(Number.parseInt(hex, 16)),
    );
    if (kind) return kind === 'abstract' ? `\0${name}` : name;
  }
  return undefined;
}

/** A connection to the bus. */
export class SystemBus {
  readonly #socket: Socket;
  readonly #waiting = new Map<number, (message: BusMessage) => void>();
  readonly #ended: Promise<never>;
  #input = Buffer.alloc(0);
  #isAuthenticated = false;
  #serial = 0;

  private constructor(socket: Socket, address: string) {
    this.#socket = socket;
    this.#ended = new Promise((_, reject) => {
      const fail = (why: string, code: ErrorCode = 'EAGAIN') =>
        reject(new RipstopError(code, `D-Bus at ${address}: ${why}`));
      socket.on('error', error => fail(error.message, codeOf(error)));
      socket.on('close', () => fail('the connection was closed'));
      socket.setTimeout(ANSWER_MS, () => fail(`no answer within ${ANSWER_MS / 1000} s`));
      socket.on('data', bytes => {
        try {
          this.#receive(bytes);
        } catch {
          fail('what came is not a message of D-Bus');
          socket.destroy();
        }
      });
    });
    this.#ended.catch(() => {});
  }

  /**
   * Runs `work` on a connection.
   * @param address of the bus; undefined: the one of the system
   * @throws RipstopError ENOENT, ECONNREFUSED or EACCES when the bus is not there, EAGAIN when it does not answer
   */
  static async with<T>(address = DEFAULT_ADDRESS, work: (bus: SystemBus) => Promise<T>): Promise<T> {
    const path = socketOf(address);
    if (!path) throw new RipstopError('ENOENT', `D-Bus at ${address}: not the address of a Unix socket`);
    const socket = connect({ path });
    try {
      const bus = new SystemBus(socket, address);
      await bus.#greet();
      return await work(bus);
    } finally {
      socket.destroy();
    }
  }

  /**
   * Calls a method whose arguments are texts.
   * @returns the text or flag at the beginning of the answer
   * @throws BusError, RipstopError EAGAIN
   */
  async call(method: Method, args: readonly string[] = []): Promise<string | boolean | undefined> {
    const serial = ++this.#serial;
    const reply = new Promise<BusMessage>(resolve => void this.#waiting.set(serial, resolve));
    this.#socket.write(encodeCall(serial, method, args));
    const { type, errorName, value } = await Promise.race([reply, this.#ended]);
    if (type === ERROR) throw new BusError(errorName ?? 'error', typeof value === 'string' ? value : '');
    return value;
  }

  /** True when a program has this name now. */
  async hasOwner(name: string): Promise<boolean> {
    return (await this.call({ ...BUS, member: 'NameHasOwner' }, [name])) === true;
  }

  /** Authenticates by the user id, which the bus compares with that of the socket's peer. */
  async #greet(): Promise<void> {
    const id = Buffer.from(String(process.getuid?.() ?? 0)).toString('hex');
    this.#socket.write(`\0AUTH EXTERNAL ${id}\r\nBEGIN\r\n`);
    await this.call({ ...BUS, member: 'Hello' });
  }

  #receive(bytes: Buffer): void {
    this.#input = Buffer.concat([this.#input, bytes]);
    if (!this.#isAuthenticated) {
      const end = this.#input.indexOf('\r\n');
      if (end < 0) return;
      const line = this.#input.toString('latin1', 0, end);
      if (!line.startsWith('OK')) throw new Error(line);
      this.#isAuthenticated = true;
      this.#input = this.#input.subarray(end + 2);
    }
    for (let length = messageLength(this.#input); length !== undefined; length = messageLength(this.#input)) {
      if (length > MESSAGE_MAX) throw new Error('too long');
      if (this.#input.length < length) return;
      const message = decodeMessage(this.#input.subarray(0, length));
      this.#input = this.#input.subarray(length);
      if (message.replyTo === undefined) continue;
      this.#waiting.get(message.replyTo)?.(message);
      this.#waiting.delete(message.replyTo);
    }
  }
}
