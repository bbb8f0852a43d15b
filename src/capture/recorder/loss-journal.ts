import { elementAt } from '../../base/at.ts';
import { DROP_VERDICTS } from '../../dataplane/descriptor/verdicts.ts';
import { KEPT_NUMBER } from '../../dataplane/tap/kept-record.ts';
import { isKept, keptOffset, keptSpan } from '../../dataplane/tap/kept-ring.ts';
import { type LossMemory, lossCounts, openLossMemory } from '../../dataplane/tap/loss-recorder.ts';
import { RECORD_PEER } from '../../dataplane/tap/record-layout.ts';
import type { CapturePeer } from '../live/context.ts';
import {
  copyKept,
  createKeptFrame,
  type FrameLayout,
  type KeptFrame,
  keptTime,
  pointsOf,
} from './kept-frame.ts';
import { kindOfWorker, type RecorderSource } from './source.ts';

/** Frames that are kept of each verdict. With 20 verdicts and 250 bytes per frame: at most 1.3 MB. */
const FRAMES_PER_VERDICT = 256;

/** A lost frame. */
export interface LostFrame extends KeptFrame {
  /** Index of its worker. */
  readonly worker: number;
  /** Bytes of its record. */
  readonly size: number;
  /** Nanoseconds since 1970-01-01 UTC, see `keptTime`. */
  readonly time: number;
  readonly verdict: number;
  readonly peer: CapturePeer | undefined;
  /** Frames lost for the same reason by the same worker since the frame before that are not kept. */
  readonly skipped: number;
}

/** What is kept of a reason. */
export interface LossSampling {
  /** Name of the verdict. */
  readonly reason: string;
  /** Frames lost since the start of the data plane, and those of them whose headers were recorded. */
  readonly lost: number;
  readonly recorded: number;
  /** Every n-th lost frame is recorded at present. */
  readonly every: number;
}

/** The last lost frames of one data plane, which the control thread takes from the workers before they overwrite them. */
export class LossJournal {
  readonly #source: RecorderSource;
  readonly #layout: FrameLayout;
  readonly #workers: readonly { readonly memory: LossMemory; readonly kind: number }[];
  /** By worker and verdict: position after the last frame that was taken, and its number. */
  readonly #taken: { position: number; number: number }[][];
  /** By slot: frames lost of its former peers. */
  readonly #lostBefore = new Map<number, number>();
  /** By verdict, the oldest first. */
  readonly #frames = new Map<number, LostFrame[]>();

  constructor(source: RecorderSource, layout: FrameLayout) {
    this.#source = source;
    this.#layout = layout;
    this.#workers = source.losses.map((memory, worker) => ({
      memory: openLossMemory(memory),
      kind: kindOfWorker(worker),
    }));
    this.#taken = this.#workers.map(({ memory }) => memory.rings.map(() => ({ position: 0, number: 0 })));
  }

  /** Takes what the workers have recorded since the last call, and names its peers by the present ones. */
  drain(): void {
    for (const worker of this.#workers.keys())
      for (const verdict of DROP_VERDICTS) this.#drainRing(worker, verdict);
  }

  #drainRing(worker: number, verdict: number): void {
    const { memory, kind } = elementAt(this.#workers, worker);
    const ring = elementAt(memory.rings, verdict);
    const taken = elementAt(elementAt(this.#taken, worker), verdict);
    const { start, end } = keptSpan(ring, taken.position);
    for (let position = start; position !== end; ) {
      const frame = createKeptFrame(kind, this.#layout);
      const size = copyKept(ring, position, frame, pointsOf(kind, verdict));
      const number = ring.view.getInt32(keptOffset(ring, position) + 4 * KEPT_NUMBER, true);
      const time = keptTime(ring, position);
      if (isKept(ring, position)) {
        const slot = frame.view.getInt32(4 * RECORD_PEER, true);
        const peer = slot < 0 ? undefined : this.#source.peerAt(slot);
        this.#add({
          ...frame,
          worker,
          size,
          time,
          verdict,
          peer,
          skipped: (number - taken.number - 1) >>> 0,
        });
        taken.number = number;
      }
      position = (position + 1) % ring.modulus;
    }
    taken.position = end;
  }

  #add(frame: LostFrame): void {
    const frames = this.#frames.get(frame.verdict) ?? [];
    this.#frames.set(frame.verdict, frames);
    frames.push(frame);
    if (frames.length > FRAMES_PER_VERDICT) frames.shift();
  }

  /** The last lost frames of all verdicts that `isWanted`, the oldest first. */
  last(count: number, isWanted: (frame: LostFrame) => boolean = () => true): LostFrame[] {
    const all = [...this.#frames.values()].flat().filter(isWanted);
    all.sort((a, b) => a.time - b.time);
    return count === 0 ? [] : all.slice(-count);
  }

  /** The reasons that occurred. */
  sampling(): LossSampling[] {
    return DROP_VERDICTS.flatMap(verdict => {
      const counts = this.#workers.map(({ memory }) => lossCounts(memory, verdict));
      const recorded = counts.reduce((sum, { kept }) => sum + kept, 0);
      const lost = counts.reduce((sum, { skipped }) => sum + skipped, recorded);
      if (lost === 0) return [];
      const every = Math.max(...counts.map(count => count.every));
      return [{ reason: elementAt(this.#source.verdicts, verdict).name, lost, recorded, every }];
    });
  }

  /** Frames lost with a verdict since the start of the data plane. */
  lost(verdict: number): number {
    return this.#workers.reduce((sum, { memory }) => {
      const { kept, skipped } = lossCounts(memory, verdict);
      return sum + kept + skipped;
    }, 0);
  }

  /** Frames lost of a peer in both directions since it has its slot, without those that are lost in normal operation. */
  lostOfPeer(id: string): number {
    const slot = this.#source.slotOf(id);
    return slot === undefined ? 0 : this.#lostInSlot(slot) - (this.#lostBefore.get(slot) ?? 0);
  }

  /** A slot is free for another peer. */
  slotFreed(slot: number): void {
    this.#lostBefore.set(slot, this.#lostInSlot(slot));
  }

  #lostInSlot(slot: number): number {
    return this.#workers.reduce((sum, { memory }) => sum + (Atomics.load(memory.peers, slot) >>> 0), 0);
  }
}
