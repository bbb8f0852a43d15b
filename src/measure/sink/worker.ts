import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { native } from '../../native/load.ts';
import type { ArrivalFigures } from '../figures/arrivals.ts';
import { DeviceSource, InterfaceSource } from '../receive/frame-source.ts';
import type { Source } from '../receive/payloads.ts';
import { UdpSource } from '../receive/udp-source.ts';
import { Answers, askedTable } from './answers.ts';
import { type InvitedStream, StreamCounts } from './streams.ts';

/* The thread that receives: it counts packets in batches and answers those that ask. */

export type SourceKind = 'udp' | 'interface' | 'tun' | 'tap';

export interface SinkTask {
  readonly kind: SourceKind;
  readonly family: 4 | 6;
  /** Descriptor that packets are read from. */
  readonly fd: number;
  /** UDP socket that answers. */
  readonly socket: number;
  /** eventfd that ends a wait. */
  readonly control: number;
  /** Number of orders that were posted, in shared memory: read once per batch, without a system call. */
  readonly posted: Int32Array;
}

export type SinkOrder =
  | { readonly kind: 'open'; readonly stream: InvitedStream }
  | { readonly kind: 'offset'; readonly key: number; readonly offsetNs: number }
  | { readonly kind: 'figures'; readonly key: number; readonly ticket: number }
  | { readonly kind: 'close'; readonly key: number }
  | { readonly kind: 'stop' };

/** Answer to an order with a ticket. */
export interface SinkAnswer {
  readonly ticket: number;
  readonly figures: ArrivalFigures | undefined;
  /** Packets of all streams that the kernel dropped because this thread was too slow. */
  readonly dropped: number;
}

const WAIT_MS = 1000;
/** Wait after a read that failed, as that of a device that is down. */
const FAILED_MS = 50;

function openSource({ kind, family, fd, control }: SinkTask): Source {
  if (kind === 'udp') return new UdpSource(fd, control, family);
  if (kind === 'interface') return new InterfaceSource(fd, control);
  return new DeviceSource(fd, control, kind === 'tap');
}

function run(task: SinkTask, port: NonNullable<typeof parentPort>): void {
  const source = openSource(task);
  const streams = new StreamCounts();
  const answers = new Answers(task.socket, task.family);
  const asked = askedTable();
  /** False: the sink stops. */
  const obey = (order: SinkOrder): boolean => {
    switch (order.kind) {
      case 'open':
        streams.open(order.stream);
        return true;
      case 'offset': {
        const arrivals = streams.arrivals(order.key);
        if (arrivals) arrivals.offsetNs = order.offsetNs;
        return true;
      }
      case 'figures':
        port.postMessage({
          ticket: order.ticket,
          figures: streams.arrivals(order.key)?.figures(),
          dropped: source.dropped(),
        } satisfies SinkAnswer);
        return true;
      case 'close':
        streams.close(order.key);
        return true;
      case 'stop':
        return false;
    }
  };
  let read = 0;
  for (;;) {
    const count = source.read(WAIT_MS);
    if (count > 0) {
      streams.count(source.view, source.payloads, count, asked);
      answers.send(source.view, source.payloads, asked);
    } else if (count < 0) {
      native.waitReadable(task.control, -1, -1, 0, FAILED_MS);
    }
    const posted = Atomics.load(task.posted, 0);
    if (posted === read) continue;
    read = posted;
    native.eventClear(task.control);
    for (let next = receiveMessageOnPort(port); next; next = receiveMessageOnPort(port))
      if (!obey(next.message as SinkOrder)) return;
  }
}

if (parentPort) {
  run(workerData as SinkTask, parentPort);
  parentPort.close();
}
