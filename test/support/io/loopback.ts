import type { Batch } from '../../../src/dataplane/descriptor/descriptor.ts';
import {
  DESC_CSUM_OFFSET,
  DESC_CSUM_START,
  DESC_ERROR,
  DESC_GSO_SIZE,
  DESC_LENGTH,
  DESC_OFFLOAD,
  DESC_OFFSET,
  DESC_PEER,
  DESC_SEGMENTS,
  DESC_SOURCE,
  DESC_STRIDE,
  DESC_VERDICT,
  HEADROOM,
} from '../../../src/dataplane/descriptor/descriptor.ts';
import {
  SOURCE_BYTES,
  SOURCE_PORT,
  SOURCE_STRIDE,
  SOURCE_TRUNCATED,
} from '../../../src/dataplane/descriptor/source.ts';
import { FORWARD } from '../../../src/dataplane/descriptor/verdicts.ts';
import type { DatagramPort, FrameDevice } from '../../../src/dataplane/io/interfaces.ts';
import { PEER_HEADER, PEER_HEADER_BYTES, PEER_STRIDE } from '../../../src/dataplane/tables/peer-table.ts';

/*
 * Device and socket without a kernel: for tests, the path benchmark and a forwarder in one thread.
 * Nothing waits and nothing is segmented: a GSO packet crosses whole with its offload fields, as it does over veth.
 * Steady use allocates nothing.
 */

/** A frame and what the virtio-net header would say of it. */
export interface LoopbackFrame {
  readonly bytes: Uint8Array;
  /** virtio-net flags | gso_type << 8. */
  readonly offload?: number;
  readonly gsoSize?: number;
  readonly csumStart?: number;
  readonly csumOffset?: number;
}

/** A device that hands over the same frames again and again, and counts, or keeps, what is written to it. */
export class LoopbackDevice implements FrameDevice {
  /** Frames written, and their bytes. */
  readonly written = { frames: 0, bytes: 0 };
  readonly #frames: readonly LoopbackFrame[];
  readonly #keep: ((frame: Uint8Array) => void) | undefined;
  #next = 0;
  #left: number;

  /**
   * @param frames what `readBatch` hands over, in turn
   * @param total how many it hands over in all
   * @param keep gets a copy of each frame that is written
   */
  constructor(frames: readonly LoopbackFrame[], total = frames.length, keep?: (frame: Uint8Array) => void) {
    this.#frames = frames;
    this.#left = frames.length === 0 ? 0 : total;
    this.#keep = keep;
  }

  readBatch(batch: Batch, _timeoutMs: number): number {
    let cursor = 0;
    let count = 0;
    while (count < batch.capacity && this.#left > 0) {
      const frame = this.#frames[this.#next]!;
      const offset = cursor + HEADROOM;
      if (offset + frame.bytes.length > batch.slab.length) break;
      batch.slab.set(frame.bytes, offset);
      const at = count * DESC_STRIDE;
      const table = batch.table;
      table[at + DESC_OFFSET] = offset;
      table[at + DESC_LENGTH] = frame.bytes.length;
      table[at + DESC_OFFLOAD] = frame.offload ?? 0;
      table[at + DESC_GSO_SIZE] = frame.gsoSize ?? 0;
      table[at + DESC_CSUM_START] = frame.csumStart ?? 0;
      table[at + DESC_CSUM_OFFSET] = frame.csumOffset ?? 0;
      table[at + DESC_VERDICT] = 0;
      table[at + DESC_ERROR] = 0;
      table[at + DESC_SEGMENTS] = 0;
      cursor = (offset + frame.bytes.length + 63) & ~63;
      this.#next = (this.#next + 1) % this.#frames.length;
      this.#left--;
      count++;
    }
    return count;
  }

  writeBatch(batch: Batch, count: number): number {
    const { table, slab } = batch;
    for (let at = 0; at < count * DESC_STRIDE; at += DESC_STRIDE) {
      if (table[at + DESC_VERDICT] !== FORWARD) continue;
      const offset = table[at + DESC_OFFSET]!;
      this.written.frames++;
      this.written.bytes += table[at + DESC_LENGTH]!;
      if (this.#keep) this.#keep(slab.slice(offset, offset + table[at + DESC_LENGTH]!));
    }
    return 0;
  }
}

/** Bytes in front of a datagram in a loopback wire: its length. */
const PREFIX = 4;

/** One end of a wire between two underlay addresses. What finds no room is lost, as on any wire. */
export class LoopbackPort implements DatagramPort {
  readonly sources: Int32Array;
  /** Datagrams that found no room. */
  lost = 0;
  readonly #out: Wire;
  readonly #in: Wire;
  readonly #source: Int32Array;

  private constructor(out: Wire, inward: Wire, remote: Uint8Array, remotePort: number, messages: number) {
    this.#out = out;
    this.#in = inward;
    this.sources = new Int32Array(messages * SOURCE_STRIDE);
    this.#source = new Int32Array(SOURCE_STRIDE);
    new Uint8Array(this.#source.buffer).set(remote);
    this.#source[SOURCE_PORT] = remotePort;
  }

  /**
   * Two ends that see each other under the given underlay addresses (16 bytes, IPv4 mapped).
   * @param bytes room of the wire in each direction
   */
  static pair(a: Uint8Array, b: Uint8Array, port: number, bytes = 1 << 20): [LoopbackPort, LoopbackPort] {
    const there = new Wire(bytes);
    const back = new Wire(bytes);
    return [
      new LoopbackPort(there, back, b, port, LOOPBACK_MESSAGES),
      new LoopbackPort(back, there, a, port, LOOPBACK_MESSAGES),
    ];
  }

  sendBatch(batch: Batch, count: number, peers: Int32Array): number {
    const { table, slab } = batch;
    for (let at = 0; at < count * DESC_STRIDE; at += DESC_STRIDE) {
      if (table[at + DESC_VERDICT] !== FORWARD) continue;
      const record = table[at + DESC_PEER]! * PEER_STRIDE;
      const header = peers[record + PEER_HEADER_BYTES]!;
      const offset = table[at + DESC_OFFSET]! - header;
      // The words of the record hold the bytes in memory order, lowest first.
      for (let i = 0; i < header; i++)
        slab[offset + i] = peers[record + PEER_HEADER + (i >> 2)]! >> ((i & 3) << 3);
      if (!this.#out.put(slab, offset, table[at + DESC_LENGTH]! + header)) this.lost++;
      table[at + DESC_SEGMENTS] = 1;
    }
    return 0;
  }

  receiveBatch(batch: Batch, _timeoutMs: number): number {
    const { table } = batch;
    let count = 0;
    let cursor = HEADROOM;
    while (count < batch.capacity && count < LOOPBACK_MESSAGES) {
      const length = this.#in.take(batch.slab, cursor);
      if (length < 0) break;
      const at = count * DESC_STRIDE;
      table[at + DESC_OFFSET] = cursor;
      table[at + DESC_LENGTH] = length;
      table[at + DESC_OFFLOAD] = 0;
      table[at + DESC_GSO_SIZE] = 0;
      table[at + DESC_VERDICT] = 0;
      table[at + DESC_SOURCE] = count;
      table[at + DESC_ERROR] = 0;
      table[at + DESC_SEGMENTS] = 0;
      this.sources.set(this.#source, count * SOURCE_STRIDE);
      this.sources[count * SOURCE_STRIDE + SOURCE_TRUNCATED] = 0;
      this.sources[count * SOURCE_STRIDE + SOURCE_BYTES] = length;
      cursor = (cursor + length + HEADROOM + 63) & ~63;
      count++;
    }
    return count;
  }
}

const LOOPBACK_MESSAGES = 64;

/** Bytes in flight in one direction. It is filled, emptied whole, and filled again: it never wraps. */
class Wire {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #write = 0;
  #read = 0;

  constructor(size: number) {
    this.#bytes = new Uint8Array(size);
    this.#view = new DataView(this.#bytes.buffer);
  }

  put(from: Uint8Array, offset: number, length: number): boolean {
    if (this.#write + PREFIX + length > this.#bytes.length) return false;
    this.#view.setInt32(this.#write, length);
    for (let i = 0; i < length; i++) this.#bytes[this.#write + PREFIX + i] = from[offset + i]!;
    this.#write += PREFIX + length;
    return true;
  }

  /** Length of the datagram that was copied, -1 when there is none or it does not fit. */
  take(to: Uint8Array, offset: number): number {
    if (this.#read === this.#write) return -1;
    const length = this.#view.getInt32(this.#read);
    if (offset + length > to.length) return -1;
    const start = this.#read + PREFIX;
    for (let i = 0; i < length; i++) to[offset + i] = this.#bytes[start + i]!;
    this.#read = start + length;
    if (this.#read === this.#write) this.clear();
    return length;
  }

  clear(): void {
    this.#read = 0;
    this.#write = 0;
  }
}
