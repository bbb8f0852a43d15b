import { Worker } from 'node:worker_threads';
import { isSystemError, RipstopError } from '../../base/errors.ts';
import { UDP_IPV6 } from '../../dataplane/descriptor/native-arguments.ts';
import { openTun } from '../../dataplane/io/tun.ts';
import { mappedBytesOf, requireAddress } from '../../ip/address.ts';
import { native } from '../../native/load.ts';
import { inNamespace } from '../../net/error.ts';
import { getLink } from '../../net/rtnetlink/links.ts';
import { withSocket } from '../../net/rtnetlink/socket.ts';
import type { SinkAnswer, SinkOrder, SinkTask, SourceKind } from './worker.ts';

/** Memory of the kernel for packets that wait to be read. */
const BUFFER_BYTES = 32 << 20;
const UDP_GRO = 104;

export interface ReceiverOptions {
  readonly kind: SourceKind;
  /** Name of the interface or device; not for `udp`. */
  readonly device?: string | undefined;
  readonly address: string;
  readonly port: number;
}

/** A thread that counts the packets of one source, and the UDP socket of its family, which answers. */
export class Receiver {
  readonly #thread: Worker;
  readonly #task: SinkTask;
  readonly #waiting = new Map<number, { done: (answer: SinkAnswer) => void; fail: (error: Error) => void }>();
  readonly #ended: Promise<void>;
  #error: Error | undefined;
  #tickets = 0;

  /** @throws RipstopError EINUSE, ENODEV, EPRIV, EADDRNOTAVAIL */
  constructor({ kind, device, address, port }: ReceiverOptions) {
    const { family } = requireAddress(address);
    const socket = openSocket(address, family, port);
    let fd = socket;
    try {
      if (kind === 'interface') fd = openInterface(device ?? '');
      else if (kind !== 'udp') [fd = -1] = openTun('', device ?? '', kind, 1);
    } catch (error) {
      native.closeFd(socket);
      throw error;
    }
    const posted = new Int32Array(new SharedArrayBuffer(4));
    this.#task = { kind, family, fd, socket, control: native.eventOpen(), posted };
    this.#thread = new Worker(new URL('./worker.js', import.meta.url), {
      name: 'sink',
      workerData: this.#task,
    });
    this.#thread.on('message', (answer: SinkAnswer) => {
      this.#waiting.get(answer.ticket)?.done(answer);
      this.#waiting.delete(answer.ticket);
    });
    this.#thread.on('error', error => {
      this.#error = error;
    });
    this.#ended = new Promise(done => this.#thread.once('exit', () => done()));
    void this.#ended.then(() => {
      this.#error ??= new Error('the thread of the sink has ended');
      for (const { fail } of this.#waiting.values()) fail(this.#error);
      this.#waiting.clear();
    });
  }

  /** The port of the socket. */
  get port(): number {
    return native.udpPort(this.#task.socket);
  }

  post(order: SinkOrder): void {
    this.#thread.postMessage(order);
    Atomics.add(this.#task.posted, 0, 1);
    native.eventSignal(this.#task.control);
  }

  /** The figures of a stream, once all that arrived before is counted. */
  figures(key: number): Promise<SinkAnswer> {
    if (this.#error) return Promise.reject(this.#error);
    const ticket = this.#tickets++;
    return new Promise((done, fail) => {
      this.#waiting.set(ticket, { done, fail });
      this.post({ kind: 'figures', key, ticket });
    });
  }

  async close(): Promise<void> {
    this.post({ kind: 'stop' });
    await this.#ended;
    const { fd, socket, control } = this.#task;
    for (const open of new Set([fd, socket, control])) native.closeFd(open);
  }
}

function openSocket(address: string, family: 4 | 6, port: number): number {
  try {
    const fd = native.udpOpen(
      '',
      mappedBytesOf(requireAddress(address)),
      port,
      family === 6 ? UDP_IPV6 : 0,
      BUFFER_BYTES,
    );
    native.udpProbe(fd, UDP_GRO);
    native.udpReportTimes(fd);
    return fd;
  } catch (error) {
    if (!isSystemError(error)) throw error;
    if (error.code === 'EADDRINUSE')
      throw new RipstopError('EINUSE', `UDP port ${port} is in use`, 'choose another with --port', {
        cause: error,
      });
    throw new RipstopError(error.code, `UDP socket at ${address}: ${error.message}`, undefined, {
      cause: error,
    });
  }
}

/** @throws NetError ENODEV, EPERM */
function openInterface(name: string): number {
  const { index } = withSocket('', socket => getLink(socket, name));
  return inNamespace(
    '',
    `packets of ${name}`,
    () => native.captureOpen('', index, 0, BUFFER_BYTES),
    'CAP_NET_RAW',
  );
}
