import type { Mode } from '../../../encap/encap.ts';
import { isSystemError, RipstopError, type SystemError } from '../../base/errors.ts';
import { mappedBytesOf, requireAddress } from '../../ip/address.ts';
import { native } from '../../native/load.ts';
import type { Batch } from '../descriptor/descriptor.ts';
import {
  UDP_DONT_FRAGMENT,
  UDP_IPV6,
  UDP_RECEIVE_ONLY,
  UDP_REUSE_PORT,
} from '../descriptor/native-arguments.ts';
import { SOURCE_STRIDE } from '../descriptor/source.ts';
import type { DatagramPort } from './interfaces.ts';

/** Bytes of each socket buffer: a few dozen GSO packets. The default would hold two. */
const BUFFER_BYTES = 8 << 20;

/** Ports that RFC 7348 section 5 recommends for the source, so that routers can tell flows apart. */
const ENTROPY_FIRST = 49152;
const ENTROPY_LAST = 65535;

/** Messages of one receive; each has a slot of the slab. */
export const RX_BATCH = 16;
/** Bytes of one slot: 64 KiB, headroom, and an odd number of cache lines so that headers spread over the cache sets. */
export const RX_SLOT_BYTES = 65536 + 128 + 64 * 9;

/** The options that the sockets depend on; part of `DataPlaneOptions`. */
interface UnderlayOptions {
  readonly netns: string;
  readonly mode: Mode;
  readonly address: string;
  readonly port: number;
  readonly queues: number;
  readonly sourcePorts: number;
}

/**
 * Opens the sockets that receive, one per queue, sharing the port.
 * @throws RipstopError EINUSE, EADDRNOTAVAIL, ECONFIG, or the errno name
 */
export function openReceivers({ netns, port, queues, ...options }: UnderlayOptions): number[] {
  const { address, base } = bindingOf(options);
  // Everyone knows its port, so that ICMP errors about it can be forged without a guess.
  const use = flowSockets(options) > 0 ? UDP_RECEIVE_ONLY : UDP_DONT_FRAGMENT;
  const shared = queues > 1 ? UDP_REUSE_PORT : 0;
  return openAll(port, receivers => {
    if (shared !== 0) native.closeFd(native.udpOpen(netns, address, port, base, BUFFER_BYTES)); // fails if another process has the port
    for (let queue = 0; queue < queues; queue++)
      receivers.push(native.udpOpen(netns, address, port, base | shared | use, BUFFER_BYTES));
  });
}

/**
 * Opens the sockets that only send. The last one lets routers fragment; the others set DF, and flows spread over them. In
 * `udp` mode there are no others: see `sendersOf`.
 * @throws as `openReceivers`
 */
export function openSenders({ netns, port, ...options }: UnderlayOptions): number[] {
  const { address, base } = bindingOf(options);
  return openAll(port, senders => {
    for (let i = 0; i < flowSockets(options); i++)
      senders.push(openEntropyPort(netns, address, base | UDP_DONT_FRAGMENT));
    senders.push(openEntropyPort(netns, address, base));
  });
}

/**
 * All sending sockets by DESC_SOCKET. Without sockets that only send with DF, the receiving one sends: flannel's source port
 * in `udp` mode is the overlay's port.
 */
export function sendersOf<T>(sendOnly: readonly T[], receiver: T): readonly T[] {
  return sendOnly.length > 1 ? sendOnly : [receiver, ...sendOnly];
}

/** Has the kernel report TTL and flow label of what the sockets receive besides its traffic class, or not. @param address own underlay address */
export function reportHeaders(receivers: readonly number[], address: string, isOn: boolean): void {
  const { family } = requireAddress(address);
  for (const fd of receivers) native.udpReportHeaders(fd, family, isOn ? 1 : 0);
}

/** Sockets that only send, with DF. */
function flowSockets({ mode, sourcePorts }: Pick<UnderlayOptions, 'mode' | 'sourcePorts'>): number {
  return mode === 'vxlan' ? sourcePorts : 0;
}

function bindingOf(options: Pick<UnderlayOptions, 'address'>): { address: Uint8Array; base: number } {
  const own = requireAddress(options.address);
  return { address: mappedBytesOf(own), base: own.family === 6 ? UDP_IPV6 : 0 };
}

/** @param open adds each descriptor to the list, so that a failure closes those before it */
function openAll(port: number, open: (descriptors: number[]) => void): number[] {
  const descriptors: number[] = [];
  try {
    open(descriptors);
    return descriptors;
  } catch (error) {
    for (const fd of descriptors) native.closeFd(fd);
    throw isSystemError(error) ? explain(error, port) : error;
  }
}

/** A socket on a random free port of the recommended range. */
function openEntropyPort(netns: string, address: Uint8Array, flags: number): number {
  for (let tries = 0; ; tries++) {
    const port = ENTROPY_FIRST + Math.floor(Math.random() * (ENTROPY_LAST - ENTROPY_FIRST + 1));
    try {
      return native.udpOpen(netns, address, port, flags, BUFFER_BYTES);
    } catch (error) {
      if (!isSystemError(error) || error.code !== 'EADDRINUSE' || tries === 100) throw error;
    }
  }
}

function explain(error: SystemError, port: number): RipstopError {
  if (error.code === 'EADDRINUSE')
    return new RipstopError(
      'EINUSE',
      `UDP port ${port} is in use on the underlay address`,
      `find its owner: ss -lunp sport = :${port} shows flanneld or another Ripstop, ip -d link show type vxlan a device of the kernel`,
      { cause: error },
    );
  if (error.code === 'EADDRNOTAVAIL')
    return new RipstopError(
      'EADDRNOTAVAIL',
      'the underlay address is on no interface of this node',
      'compare with `ip address`',
      { cause: error },
    );
  return new RipstopError(error.code, `underlay socket: ${error.message}`, undefined, { cause: error });
}

interface UdpPortOptions {
  /** Descriptor that receives; -1 for a port that only sends. */
  readonly receiver: number;
  /** Descriptors that send, by DESC_SOCKET. */
  readonly senders: Int32Array;
  /** Most datagrams per message (UDP_SEGMENT), 1 for none. */
  readonly maxSegments: number;
  /** As in `TunOptions`. */
  readonly busyPollMicroseconds: number;
  /** STAT_* counters of the native side. */
  readonly stats: Int32Array;
  /** Bytes of the encapsulation where a datagram may hold a whole UDP GSO packet; 0 where none does. */
  readonly wholeHeaderBytes: number;
}

/** The underlay's sockets, batched. */
export class UdpPort implements DatagramPort {
  readonly sources = new Int32Array(new SharedArrayBuffer(RX_BATCH * SOURCE_STRIDE * 4));
  readonly #options: UdpPortOptions;
  #maxSegments: number;

  constructor(options: UdpPortOptions) {
    this.#options = options;
    this.#maxSegments = options.maxSegments;
  }

  /** Sends datagram by datagram from now on: the kernel keeps refusing UDP_SEGMENT. */
  stopSegmenting(): void {
    this.#maxSegments = 1;
  }

  sendBatch(batch: Batch, count: number, peers: Int32Array): number {
    const { senders, stats } = this.#options;
    return native.udpSend(senders, batch.slab, batch.table, count, peers, this.#maxSegments, stats);
  }

  receiveBatch(batch: Batch): number {
    const { receiver, wholeHeaderBytes, busyPollMicroseconds: poll } = this.#options;
    const { slab, table } = batch;
    return native.udpReceive(receiver, slab, table, this.sources, RX_BATCH, poll, wholeHeaderBytes);
  }
}
