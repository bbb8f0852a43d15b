import {
  createBatch,
  DESC_GSO_SIZE,
  DESC_LENGTH,
  DESC_OFFSET,
  DESC_STRIDE,
} from '../../dataplane/descriptor/descriptor.ts';
import { native } from '../../native/load.ts';
import { FRAME_WORDS } from '../../net/packet/frame-socket.ts';
import { PayloadFinder } from './payload-finder.ts';
import type { Source } from './payloads.ts';

/** Frames per call, and the most UDP payloads of one frame (UDP_MAX_SEGMENTS). */
const FRAMES = 64;
const SEGMENTS = 128;
/** The largest GSO packet with its link header, and room for a VLAN tag. */
const SLOT_BYTES = 65536 + 72;
const EAGAIN = -11;
const EINTR = -4;
const EINVAL = -22;

/** The frames that come in by an interface. */
export class InterfaceSource implements Source {
  readonly #fd: number;
  readonly #control: number;
  readonly #slab = new Uint8Array(FRAMES * SLOT_BYTES);
  readonly #table = new Int32Array(FRAMES * FRAME_WORDS.STRIDE);
  readonly #counts = new Int32Array(2);
  readonly #finder = new PayloadFinder(new DataView(this.#slab.buffer), FRAMES * SEGMENTS);
  #dropped = 0;

  /** @param fd of `captureOpen` @param control eventfd that ends a wait */
  constructor(fd: number, control: number) {
    this.#fd = fd;
    this.#control = control;
  }

  get view(): DataView {
    return this.#finder.view;
  }

  get payloads(): Int32Array {
    return this.#finder.payloads;
  }

  read(timeoutMs: number): number {
    const ready = timeoutMs === 0 ? 1 : native.waitReadable(this.#fd, -1, this.#control, 0, timeoutMs);
    if (ready <= 0) return ready;
    const frames = native.captureRead(this.#fd, this.#slab, SLOT_BYTES, this.#table);
    // EINVAL: a frame whose offload the kernel cannot describe; it is taken from the queue.
    if (frames === EAGAIN || frames === EINTR || frames === EINVAL) return 0;
    if (frames < 0) return frames;
    this.#finder.begin();
    for (let i = 0; i < frames; i++) this.#find(i * FRAME_WORDS.STRIDE);
    return this.#finder.count;
  }

  #find(at: number): void {
    const table = this.#table;
    if (table[at + FRAME_WORDS.OUTGOING] !== 0) return;
    this.#finder.ethernet(
      table[at + FRAME_WORDS.OFFSET] ?? 0,
      table[at + FRAME_WORDS.BYTES] ?? 0,
      table[at + FRAME_WORDS.GSO_SIZE] ?? 0,
      table[at + FRAME_WORDS.SECONDS] ?? 0,
      table[at + FRAME_WORDS.NANOSECONDS] ?? 0,
    );
  }

  dropped(): number {
    native.captureStatistics(this.#fd, this.#counts);
    this.#dropped += (this.#counts[1] ?? 0) >>> 0;
    return this.#dropped;
  }
}

/** The frames that the kernel sends to a TUN or TAP device. They have no stamp: their time is that of their batch. */
export class DeviceSource implements Source {
  readonly #fd: number;
  readonly #control: number;
  readonly #isTap: boolean;
  readonly #batch = createBatch(FRAMES, 4 << 20);
  readonly #finder = new PayloadFinder(this.#batch.view, FRAMES * SEGMENTS);

  /** @param fd of `openTun` @param control eventfd that ends a wait, -1: none */
  constructor(fd: number, control: number, isTap: boolean) {
    this.#fd = fd;
    this.#control = control;
    this.#isTap = isTap;
  }

  get view(): DataView {
    return this.#finder.view;
  }

  get payloads(): Int32Array {
    return this.#finder.payloads;
  }

  read(timeoutMs: number): number {
    const { slab, table } = this.#batch;
    const read = () => native.tunRead(this.#fd, slab, table, FRAMES, 0);
    let frames = read();
    if (frames === 0 && timeoutMs > 0) {
      const ready = native.waitReadable(this.#fd, -1, this.#control, 0, timeoutMs);
      frames = ready > 0 ? read() : ready;
    }
    if (frames <= 0) return frames;
    const now = native.wallClock();
    const seconds = Math.floor(now / 1000);
    const nanoseconds = Math.round((now - seconds * 1000) * 1e6);
    this.#finder.begin();
    for (let i = 0; i < frames; i++) {
      const at = i * DESC_STRIDE;
      const offset = table[at + DESC_OFFSET] ?? 0;
      const length = table[at + DESC_LENGTH] ?? 0;
      const segment = table[at + DESC_GSO_SIZE] ?? 0;
      if (this.#isTap) this.#finder.ethernet(offset, length, segment, seconds, nanoseconds);
      else this.#finder.ip(offset, length, segment, seconds, nanoseconds);
    }
    return this.#finder.count;
  }

  /** The queue of a device counts its drops as those of the interface, not of its reader. */
  dropped(): number {
    return 0;
  }
}
