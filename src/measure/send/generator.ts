import { Worker } from 'node:worker_threads';
import { keyOf } from '../../../encap/wire/measure.ts';
import { isSystemError, RipstopError } from '../../base/errors.ts';
import { UDP_DONT_FRAGMENT, UDP_IPV6, UDP_SOCKETS_MAX } from '../../dataplane/descriptor/native-arguments.ts';
import { addressBytes, mappedBytesOf, requireAddress } from '../../ip/address.ts';
import { native } from '../../native/load.ts';
import { portsFrom, spreadPorts } from './flows.ts';
import { type Medium, openFrames } from './medium.ts';
import type { Target } from './target.ts';
import type { GeneratorOutcome, GeneratorTask, Order } from './task.ts';

/** Memory of the kernel for packets on their way: small, so that a full device holds the sender back. */
const BUFFER_BYTES = 1 << 20;
const UDP_SEGMENT = 103;

export interface FlowOptions {
  readonly count: number;
  /** Source ports; undefined: any. */
  readonly ports: readonly number[] | undefined;
  /** Receive queues over which the flows are spread by their hash; undefined: by chance. */
  readonly queues: number | undefined;
}

export interface GeneratorOptions {
  readonly to: Target;
  /** Own address of the sending sockets. */
  readonly source: string;
  readonly medium: Medium;
  readonly sizes: Uint16Array;
  readonly flows: FlowOptions;
  readonly gso: boolean;
  readonly stream: number;
  readonly nonce: number;
}

/** A thread that sends one stream. */
export class Generator {
  readonly originSeconds = Math.floor(native.wallClock() / 1000);
  readonly #task: GeneratorTask;
  readonly #thread: Worker;
  readonly #descriptors: readonly number[];
  #failed: Error | undefined;

  /** @throws RipstopError ECONFIG, EINUSE, ENODEV, EPRIV */
  constructor(options: GeneratorOptions) {
    const { to, source, medium, flows, gso, sizes, stream, nonce } = options;
    const ports = portsOf(options);
    const sockets = openSockets(source, to.family, medium.kind === 'udp' ? ports : ports.slice(0, 1));
    try {
      if (gso && medium.kind === 'udp' && native.udpProbe(sockets[0] ?? -1, UDP_SEGMENT) !== 1)
        throw new RipstopError(
          'ECONFIG',
          'this kernel cannot segment UDP',
          'it needs Linux 4.18; leave out --gso',
        );
      const first = native.udpPort(sockets[0] ?? -1);
      const sourcePorts = ports.includes(0) ? portsFrom(first, flows.count) : ports;
      const frames = openFrames(medium, to, sourcePorts);
      this.#descriptors = [...sockets, ...(frames ? [frames.fd] : [])];
      const { family, address, port } = to;
      this.#task = {
        ...{ gso, sizes, frames, originSeconds: this.originSeconds, key: keyOf(stream, nonce) },
        ...{
          sockets,
          flows: flows.count,
          to: { family, address: mappedBytesOf(requireAddress(address)), port },
        },
        stop: new Int32Array(new SharedArrayBuffer(4)),
        live: new Float64Array(new SharedArrayBuffer(8)),
      };
    } catch (error) {
      for (const fd of sockets) native.closeFd(fd);
      throw error;
    }
    this.#thread = new Worker(new URL('./worker.js', import.meta.url), {
      name: 'blast',
      workerData: this.#task,
    });
    this.#thread.on('error', error => {
      this.#failed = error;
    });
  }

  /** Packets of the run so far. */
  get sent(): number {
    return this.#task.live[0] ?? 0;
  }

  /** Compares the clocks. */
  async probe(probes: number): Promise<Extract<GeneratorOutcome, { kind: 'probed' }>> {
    return (await this.#order({ kind: 'probe', probes })) as Extract<GeneratorOutcome, { kind: 'probed' }>;
  }

  async run(
    order: Omit<Extract<Order, { kind: 'run' }>, 'kind'>,
  ): Promise<Extract<GeneratorOutcome, { kind: 'sent' }>> {
    return (await this.#order({ kind: 'run', ...order })) as Extract<GeneratorOutcome, { kind: 'sent' }>;
  }

  /** Ends the run; its figures so far are its outcome. */
  stop(): void {
    Atomics.store(this.#task.stop, 0, 1);
    Atomics.notify(this.#task.stop, 0);
  }

  #order(order: Order): Promise<GeneratorOutcome> {
    return new Promise((done, fail) => {
      const ended = () => fail(this.#failed ?? new Error('the thread of the generator has ended'));
      this.#thread.once('exit', ended);
      this.#thread.once('message', (outcome: GeneratorOutcome) => {
        this.#thread.off('exit', ended);
        done(outcome);
      });
      this.#thread.postMessage(order);
    });
  }

  async close(): Promise<void> {
    this.stop();
    const ended = new Promise(done => this.#thread.once('exit', done));
    this.#thread.postMessage(null);
    await ended;
    for (const fd of this.#descriptors) native.closeFd(fd);
  }
}

/** Source ports by flow; 0: the kernel chooses. @throws RipstopError ECONFIG */
function portsOf({ to, source, medium, flows }: GeneratorOptions): readonly number[] {
  const { count, ports, queues } = flows;
  // udpSend needs one place for the socket that lets routers fragment.
  if (medium.kind === 'udp' && count > UDP_SOCKETS_MAX - 1)
    throw new RipstopError(
      'ECONFIG',
      `${count} flows of UDP sockets`,
      `${UDP_SOCKETS_MAX - 1} at most; --interface has up to 256`,
    );
  if (queues !== undefined) {
    const frameSource = medium.kind === 'udp' ? source : medium.source;
    const ends = { source: addressBytes(frameSource), destination: addressBytes(to.address), port: to.port };
    return spreadPorts(ends, count, queues);
  }
  return ports ?? Array.from({ length: count }, () => 0);
}

/** One socket per port. */
function openSockets(address: string, family: 4 | 6, ports: readonly number[]): number[] {
  const own = mappedBytesOf(requireAddress(address));
  const flags = UDP_DONT_FRAGMENT | (family === 6 ? UDP_IPV6 : 0);
  const sockets: number[] = [];
  for (const port of ports)
    try {
      sockets.push(native.udpOpen('', own, port, flags, BUFFER_BYTES));
    } catch (error) {
      for (const fd of sockets) native.closeFd(fd);
      if (!isSystemError(error)) throw error;
      const [code, hint] =
        error.code === 'EADDRINUSE'
          ? (['EINUSE', 'choose other source ports'] as const)
          : ([error.code, undefined] as const);
      throw new RipstopError(code, `UDP socket at ${address}, port ${port}: ${error.message}`, hint, {
        cause: error,
      });
    }
  if (sockets[0] !== undefined) native.udpReportTimes(sockets[0]);
  return sockets;
}
