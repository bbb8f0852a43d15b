import { setTimeout as sleep } from 'node:timers/promises';
import type { PodFrame, PodVeth } from '../../capture/decode/pod-decoder.ts';
import { NO_LOSSES } from '../../capture/live/record.ts';
import { isNetError } from '../../net/error.ts';
import { FrameSocket, type PassedFrame } from '../../net/packet/frame-socket.ts';
import { findLink } from '../../net/rtnetlink/links.ts';
import { NetlinkSocket } from '../../net/rtnetlink/socket.ts';

/** Polling interval of the sockets, milliseconds. The buffer of a socket holds far more than comes in that time. */
const POLL_MS = 5;
/** Reads of a socket per turn, so that no pod makes the others wait. */
const READS = 16;

/** What passes veths, from now on. */
export class PodFrames {
  readonly #veths: readonly Veth[];

  /** Opens the sockets: what passes later is captured or counted as lost. @throws NetError EPERM, ENODEV */
  constructor(veths: readonly PodVeth[], snapLength: number) {
    const open: Veth[] = [];
    try {
      for (const [at, veth] of veths.entries()) open.push(new Veth(at, veth, snapLength));
    } catch (error) {
      for (const veth of open) veth.close();
      throw error;
    }
    this.#veths = open;
  }

  /**
   * The frames, until `stop` aborts or every veth is gone; those that passed until then are all there or counted as lost.
   * @param gone is called when a veth went away
   */
  async *batches(gone: (veth: PodVeth) => void, stop: AbortSignal): AsyncGenerator<PodFrame[], void, void> {
    let left = this.#veths;
    try {
      for (let isLast = false; left.length > 0; ) {
        if (stop.aborted && !isLast) {
          isLast = true;
          for (const veth of left) veth.stop();
        }
        const batch = left.flatMap(veth => veth.read());
        if (batch.length > 0) {
          yield batch;
          continue;
        }
        if (isLast) return;
        left = left.filter(veth => {
          if (!veth.isGone) return true;
          gone(veth.place);
          return false;
        });
        if (left.length > 0) await sleep(POLL_MS, undefined, { signal: stop }).catch(() => {});
      }
    } finally {
      for (const veth of this.#veths) veth.close();
    }
  }
}

/** One veth with its socket. */
class Veth {
  readonly place: PodVeth;
  readonly #at: number;
  readonly #socket: FrameSocket;
  #isDown = false;

  constructor(at: number, place: PodVeth, snapLength: number) {
    this.#at = at;
    this.place = place;
    this.#socket = new FrameSocket('', place.index, snapLength);
  }

  /** The interface is no more. One that is only set down comes back. */
  get isGone(): boolean {
    return this.#isDown && !isThere(this.place);
  }

  /** The next frames, then what was lost; nothing when neither is there. */
  read(): PodFrame[] {
    const frames: PodFrame[] = [];
    for (let reads = 0; reads < READS; reads++) {
      const some = this.#next();
      if (some.length === 0) break;
      for (const { isOutgoing, ...frame } of some)
        frames.push({ ...frame, veth: this.#at, isFromPod: !isOutgoing, lost: NO_LOSSES });
    }
    const { lost } = this.#socket.statistics();
    if (lost > 0) frames.push(this.#loss(lost));
    return frames;
  }

  #next(): PassedFrame[] {
    try {
      return this.#socket.read();
    } catch (error) {
      if (!isNetError(error, 'ENETDOWN')) throw error;
      // Told once, before the frames that wait.
      this.#isDown = true;
      return this.#socket.read();
    }
  }

  #loss(all: number): PodFrame {
    const offload = { flags: 0, gsoType: 0, gsoSize: 0, csumStart: 0, csumOffset: 0 };
    const lost = { all, forwarded: 0, dropped: 0 };
    return { veth: this.#at, isFromPod: true, time: 0n, bytes: new Uint8Array(0), length: 0, offload, lost };
  }

  stop(): void {
    this.#socket.stop();
  }

  close(): void {
    this.#socket.close();
  }
}

function isThere({ index, hostLink }: PodVeth): boolean {
  const socket = new NetlinkSocket({ netns: '' });
  try {
    return findLink(socket, index)?.name === hostLink;
  } finally {
    socket.close();
  }
}
