import { constants } from 'node:os';
import { native } from '../../native/load.ts';
import { inNamespace, NetError } from '../error.ts';

/** Words of a frame in the table of `captureRead`; test/unit/net/frame-socket.test.ts compares them with the addon. */
export const FRAME_WORDS = {
  OFFSET: 0,
  BYTES: 1,
  LENGTH: 2,
  OUTGOING: 3,
  SECONDS: 4,
  NANOSECONDS: 5,
  OFFLOAD: 6,
  GSO_SIZE: 7,
  CSUM_START: 8,
  CSUM_OFFSET: 9,
  STRIDE: 10,
} as const;

/** Frames per call. */
const BATCH = 64;
/** Bytes of a slot beyond the snap length: a VLAN tag, which the kernel keeps apart from the frame. */
const SLOT_EXTRA = 8;
/** Bytes of an Ethernet header, which a slot holds at least. */
const HEADER_BYTES = 14;
/** Enough for the largest GSO packet with its link header; a larger one (BIG TCP) is cut. */
const FRAME_MAX = 0x10000 + 64;
/** Memory of the kernel for frames that wait to be read. */
const BUFFER_BYTES = 32 << 20;

/** A frame that passed an interface. */
export interface PassedFrame {
  /** The interface sent it; false: received it. */
  readonly isOutgoing: boolean;
  /** Nanoseconds since 1970-01-01 UTC. */
  readonly time: bigint;
  /** A copy, which the snap length may have cut. */
  readonly bytes: Uint8Array;
  /** Original length. */
  readonly length: number;
  /** Fields of its virtio-net header: what the sender left to the hardware. */
  readonly offload: {
    readonly flags: number;
    readonly gsoType: number;
    readonly gsoSize: number;
    readonly csumStart: number;
    readonly csumOffset: number;
  };
}

/** The frames that pass an interface in both directions, and how many the kernel had to drop. */
export class FrameSocket {
  readonly #link: number;
  readonly #fd: number;
  readonly #slot: number;
  readonly #slab: Uint8Array;
  readonly #table = new Int32Array(BATCH * FRAME_WORDS.STRIDE);
  readonly #counts = new Int32Array(2);
  #unreadable = 0;

  /**
   * @param link index of the interface in `netns`
   * @param snapLength bytes to keep of a frame, 0 for all
   * @throws NetError EPERM, ENODEV
   */
  constructor(netns: string, link: number, snapLength: number, bufferBytes = BUFFER_BYTES) {
    this.#link = link;
    this.#slot = Math.max(snapLength || FRAME_MAX, HEADER_BYTES) + SLOT_EXTRA;
    this.#slab = new Uint8Array(BATCH * this.#slot);
    this.#fd = inNamespace(
      netns,
      `capture at device ${link}`,
      () => native.captureOpen(netns, link, snapLength, bufferBytes),
      'CAP_NET_RAW',
    );
  }

  /** The next frames, none when none are there. @throws NetError ENETDOWN when the interface goes down or away */
  read(): PassedFrame[] {
    const readNext = () => native.captureRead(this.#fd, this.#slab, this.#slot, this.#table);
    let count = readNext();
    for (let tries = 0; count === -constants.errno.EINVAL && tries < BATCH; tries++) {
      // The kernel took a frame from the queue whose offload it cannot describe.
      this.#unreadable++;
      count = readNext();
    }
    if (count === -constants.errno.EAGAIN || count === -constants.errno.EINTR) return [];
    if (count < 0) throw new NetError(-count, `capture at device ${this.#link}`);
    return Array.from({ length: count }, (_, at) => this.#frame(at * FRAME_WORDS.STRIDE));
  }

  #frame(base: number): PassedFrame {
    const word = (index: number) => this.#table[base + index] ?? 0;
    const offset = word(FRAME_WORDS.OFFSET);
    const offload = word(FRAME_WORDS.OFFLOAD);
    return {
      isOutgoing: word(FRAME_WORDS.OUTGOING) !== 0,
      time: BigInt(word(FRAME_WORDS.SECONDS) >>> 0) * 1_000_000_000n + BigInt(word(FRAME_WORDS.NANOSECONDS)),
      bytes: this.#slab.slice(offset, offset + word(FRAME_WORDS.BYTES)),
      length: word(FRAME_WORDS.LENGTH),
      offload: {
        flags: offload & 0xff,
        gsoType: (offload >>> 8) & 0xff,
        gsoSize: word(FRAME_WORDS.GSO_SIZE),
        csumStart: word(FRAME_WORDS.CSUM_START),
        csumOffset: word(FRAME_WORDS.CSUM_OFFSET),
      },
    };
  }

  /**
   * Lets only the frames come that a classic BPF program accepts; some that passed before may still be read.
   * @param program instructions of 8 bytes (linux/filter.h, struct sock_filter)
   * @throws NetError
   */
  filter(program: Uint8Array): void {
    const result = native.captureFilter(this.#fd, program);
    if (result < 0) throw new NetError(-result, `filter at device ${this.#link}`);
  }

  /** Takes no further frame; those that are there can still be read. */
  stop(): void {
    native.captureStop(this.#fd);
  }

  /** Frames that passed since the last call, and those of them that `read` does not give. */
  statistics(): { passed: number; lost: number } {
    native.captureStatistics(this.#fd, this.#counts);
    const [passed = 0, lost = 0] = this.#counts;
    const unreadable = this.#unreadable;
    this.#unreadable = 0;
    return { passed: passed >>> 0, lost: (lost >>> 0) + unreadable };
  }

  close(): void {
    native.closeFd(this.#fd);
  }
}
