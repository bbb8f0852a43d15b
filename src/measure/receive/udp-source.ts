import {
  createBatch,
  DESC_LENGTH,
  DESC_OFFSET,
  DESC_SOURCE,
  DESC_STRIDE,
} from '../../dataplane/descriptor/descriptor.ts';
import {
  SOURCE_ADDRESS,
  SOURCE_NANOSECONDS,
  SOURCE_PORT,
  SOURCE_SECONDS,
  SOURCE_STRIDE,
} from '../../dataplane/descriptor/source.ts';
import { native } from '../../native/load.ts';
import { KernelDrops } from './kernel-drops.ts';
import {
  PAYLOAD_ADDRESS,
  PAYLOAD_LENGTH,
  PAYLOAD_NANOSECONDS,
  PAYLOAD_OFFSET,
  PAYLOAD_PACKET,
  PAYLOAD_PORT,
  PAYLOAD_SECONDS,
  PAYLOAD_STRIDE,
  type Source,
} from './payloads.ts';

/** Messages per call, and the most datagrams of one message (UDP_GRO). */
const MESSAGES = 64;
const SEGMENTS = 128;
/** 64 KiB, headroom, and an odd number of cache lines so that headers spread over the cache sets. */
const SLOT_BYTES = 65536 + 128 + 64 * 9;
const MICROSECONDS_OF_POLLING = 50;

/** Bytes of an IP header without options and of a UDP header. */
const HEADERS = { 4: 28, 6: 48 } as const;

/** The datagrams of a UDP socket. */
export class UdpSource implements Source {
  readonly #fd: number;
  readonly #control: number;
  readonly #headers: number;
  readonly #batch = createBatch(MESSAGES * SEGMENTS, MESSAGES * SLOT_BYTES);
  readonly #sources = new Int32Array(MESSAGES * SOURCE_STRIDE);
  readonly #drops: KernelDrops;
  readonly payloads = new Int32Array(MESSAGES * SEGMENTS * PAYLOAD_STRIDE);

  /** @param control eventfd that ends a wait */
  constructor(fd: number, control: number, family: 4 | 6) {
    this.#fd = fd;
    this.#control = control;
    this.#headers = HEADERS[family];
    this.#drops = new KernelDrops(fd);
  }

  get view(): DataView {
    return this.#batch.view;
  }

  read(timeoutMs: number): number {
    let count = this.#receive(timeoutMs === 0 ? 0 : MICROSECONDS_OF_POLLING);
    if (count === 0 && timeoutMs > 0) {
      const ready = native.waitReadable(this.#fd, -1, this.#control, MICROSECONDS_OF_POLLING, timeoutMs);
      count = ready > 0 ? this.#receive(0) : ready;
    }
    for (let i = 0; i < count; i++) this.#record(i * PAYLOAD_STRIDE, i * DESC_STRIDE);
    return count;
  }

  #receive(pollingMicroseconds: number): number {
    const { table, slab } = this.#batch;
    return native.udpReceive(this.#fd, slab, table, this.#sources, MESSAGES, pollingMicroseconds, 0);
  }

  #record(to: number, at: number): void {
    const { table } = this.#batch;
    const { payloads } = this;
    const sources = this.#sources;
    const source = (table[at + DESC_SOURCE] ?? 0) * SOURCE_STRIDE;
    payloads[to + PAYLOAD_OFFSET] = table[at + DESC_OFFSET] ?? 0;
    payloads[to + PAYLOAD_LENGTH] = table[at + DESC_LENGTH] ?? 0;
    payloads[to + PAYLOAD_PACKET] = (table[at + DESC_LENGTH] ?? 0) + this.#headers;
    payloads[to + PAYLOAD_SECONDS] = sources[source + SOURCE_SECONDS] ?? 0;
    payloads[to + PAYLOAD_NANOSECONDS] = sources[source + SOURCE_NANOSECONDS] ?? 0;
    payloads[to + PAYLOAD_PORT] = sources[source + SOURCE_PORT] ?? 0;
    for (let word = 0; word < 4; word++)
      payloads[to + PAYLOAD_ADDRESS + word] = sources[source + SOURCE_ADDRESS + word] ?? 0;
  }

  dropped(): number {
    return this.#drops.read();
  }
}
