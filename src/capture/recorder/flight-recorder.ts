import { setImmediate as breathe } from 'node:timers/promises';
import { contain } from '../../base/boundary.ts';
import { RipstopError } from '../../base/errors.ts';
import { DROP, RECORD_GENERATION, RECORD_PEER } from '../../dataplane/tap/record-layout.ts';
import { resolveSelection, type Selection, selectsPeer } from '../filter/selection.ts';
import type { CaptureContext, CapturePeer } from '../live/context.ts';
import { NO_LOSSES } from '../live/record.ts';
import { encodeContext, RecordQueue } from '../live/record-stream.ts';
import { HeaderStore } from './header-store.ts';
import type { KeptFrame } from './kept-frame.ts';
import { LossJournal, type LossSampling } from './loss-journal.ts';
import { ResetWatch } from './reset-watch.ts';
import { layoutOf, type RecorderSource } from './source.ts';

/** How often the recorder takes the lost frames from the workers, ms. */
const POLL_MS = 500;
/** Frames between two pauses in which the control thread does its other work. */
const CHUNK_FRAMES = 2048;

/** What to take from the recorder. */
export interface RecordedRange {
  /** Headers of all frames of the last seconds; undefined: none. */
  readonly pastSeconds?: number | undefined;
  /** Of those, the newest frames of each worker at most; undefined: all. */
  readonly framesPerWorker?: number | undefined;
  /** The last lost frames; undefined: none. Those that `pastSeconds` shows already are left out. */
  readonly lostFrames?: number | undefined;
}

/** State of the flight recorder of one data plane. */
export interface RecorderState {
  /** Since when lost frames are recorded, ms since 1970-01-01 UTC: earlier ones are gone. */
  readonly since: number;
  readonly sampling: readonly LossSampling[];
  /** The headers of all frames are recorded. */
  readonly isRecording: boolean;
  /** Bytes of memory for them, and frames that fit into it. */
  readonly bytes: number;
  readonly capacity: number;
  /** Frames per second at present, and the seconds that the memory covers at this rate; undefined without traffic. */
  readonly rate: number;
  readonly seconds: number | undefined;
}

/**
 * The flight recorder of one data plane: the headers of the last lost frames and, while it is turned on, of all frames of
 * the last seconds. It never has more than KEPT_SNAP bytes of a frame (`tap/kept-record.ts`). Runs on the control thread.
 */
export class FlightRecorder {
  readonly journal: LossJournal;
  readonly #source: RecorderSource;
  readonly #store: HeaderStore;
  readonly #resets: ResetWatch;
  readonly #since = Date.now();
  readonly #timer: NodeJS.Timeout;

  constructor(source: RecorderSource) {
    this.#source = source;
    const layout = layoutOf(source);
    this.journal = new LossJournal(source, layout);
    this.#store = new HeaderStore(source, layout);
    this.#resets = new ResetWatch(this.#store, layout);
    source.beforeChange = () => this.journal.drain();
    source.slotFreed = slot => this.journal.slotFreed(slot);
    this.#timer = setInterval(() => contain('recorder', () => this.#poll()), POLL_MS).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#source.beforeChange = () => {};
    this.#source.slotFreed = () => {};
  }

  #poll(): void {
    this.journal.drain();
    this.#store.update();
  }

  /** Whether the headers of all frames are recorded. */
  get isRecording(): boolean {
    return this.#store.isOn;
  }

  set isRecording(isOn: boolean) {
    this.#store.isOn = isOn;
  }

  get state(): RecorderState {
    this.#poll();
    const { coverage, capacity } = this.#store;
    return {
      since: this.#since,
      sampling: this.journal.sampling(),
      isRecording: this.isRecording,
      bytes: this.#source.headers.reduce((sum, memory) => sum + memory.byteLength, 0),
      capacity,
      rate: this.isRecording ? coverage.rate : 0,
      seconds: this.isRecording ? coverage.seconds : undefined,
    };
  }

  /** A connection that a RST ended after it had carried data, among the newest frames since the last call. */
  findReset(): string | undefined {
    return this.isRecording ? this.#resets.find() : undefined;
  }

  /** Workers of the data plane. */
  get workers(): number {
    return this.#source.losses.length;
  }

  /**
   * Recorded frames as a stream of `live/record-stream.ts`, the lost ones first, which then ends.
   * @throws RipstopError ECAPTURE for a name that is not known, and for `pastSeconds` while headers are not recorded
   */
  stream(range: RecordedRange, selection: Selection): AsyncGenerator<Uint8Array, void, void> {
    const { pastSeconds } = range;
    if (pastSeconds !== undefined && !this.isRecording)
      throw new RipstopError(
        'ECAPTURE',
        'the headers of all frames are not recorded',
        'turn it on with `ripstop recorder on`, or set `recorder` to `headers`',
      );
    this.#poll();
    const { peer: _peer, ...others } = selection;
    const { points, verdicts } = resolveSelection(others, this.#source.context());
    return this.#frames(range, {
      points,
      verdicts: verdicts && new Set(verdicts),
      peer: selection.peer,
    });
  }

  async *#frames(
    { pastSeconds, framesPerWorker, lostFrames = 0 }: RecordedRange,
    wanted: Wanted,
  ): AsyncGenerator<Uint8Array, void, void> {
    const from = pastSeconds === undefined ? undefined : (Date.now() - pastSeconds * 1000) * 1e6;
    const starts = from === undefined ? [] : this.#store.starts(from, framesPerWorker);
    const lost = this.journal.last(
      lostFrames,
      ({ worker, time, verdict, peer }) =>
        time < (starts[worker] ?? Number.POSITIVE_INFINITY) && selects(wanted, verdict, peer),
    );
    const peers = new PeerList();
    for (const { peer } of lost) peers.add(peer);
    for (const peer of this.#store.peers()) peers.add(peer);
    const context: CaptureContext = { ...this.#source.context(), peers: peers.list };
    yield encodeContext(context);
    const messages = new Messages(context.generation, peers);
    for (const { skipped, size, peer, ...frame } of lost)
      if ((wanted.points & DROP) !== 0) messages.add(frame, size, peer, skipped);
    let seen = 0;
    if (from !== undefined)
      for (const [frame, size, verdict] of this.#store.frames(from, wanted.points, framesPerWorker)) {
        const word = (index: number) => frame.view.getInt32(4 * index, true);
        const slot = word(RECORD_PEER);
        const peer = slot < 0 ? undefined : this.#store.peerAt(slot, word(RECORD_GENERATION));
        if (word(0) !== 0 && selects(wanted, verdict, peer)) messages.add(frame, size, peer, 0);
        // Also where the filter leaves out nearly all: a look at each frame takes time.
        if (++seen % CHUNK_FRAMES !== 0) continue;
        if (messages.count > 0) yield messages.take();
        await breathe();
      }
    yield messages.take();
  }
}

interface Wanted {
  readonly points: number;
  readonly verdicts: ReadonlySet<number> | undefined;
  /** Name or address of a peer. */
  readonly peer: string | undefined;
}

function selects(
  { verdicts, peer: wanted }: Wanted,
  verdict: number,
  peer: CapturePeer | undefined,
): boolean {
  return (
    (!verdicts || verdicts.has(verdict)) && (wanted === undefined || (!!peer && selectsPeer(wanted, peer)))
  );
}

/** Peers of a stream, each with a slot of its own, whatever slot it had when the frame was handled. */
class PeerList {
  readonly list: CapturePeer[] = [];
  readonly #slots = new Map<string, number>();

  add(peer: CapturePeer | undefined): void {
    if (!peer || this.slotOf(peer) >= 0) return;
    this.#slots.set(keyOf(peer), this.list.push(peer) - 1);
  }

  /** -1 for none. */
  slotOf(peer: CapturePeer | undefined): number {
    return peer ? (this.#slots.get(keyOf(peer)) ?? -1) : -1;
  }
}

function keyOf({ id, address, port, remoteChecksum }: CapturePeer): string {
  return `${id} ${address} ${port} ${remoteChecksum}`;
}

/** Messages of a stream until they are taken. */
class Messages {
  count = 0;
  readonly #queue = new RecordQueue();
  readonly #generation: number;
  readonly #peers: PeerList;

  constructor(generation: number, peers: PeerList) {
    this.#generation = generation;
    this.#peers = peers;
  }

  add({ view, kind }: KeptFrame, size: number, peer: CapturePeer | undefined, skipped: number): void {
    view.setInt32(4 * RECORD_PEER, this.#peers.slotOf(peer), true);
    view.setInt32(4 * RECORD_GENERATION, this.#generation, true);
    const lost = skipped > 0 ? { all: skipped, forwarded: 0, dropped: skipped } : NO_LOSSES;
    this.#queue.add(0, view, 0, size, kind, lost);
    this.count++;
  }

  take(): Uint8Array {
    this.count = 0;
    return this.#queue.take();
  }
}
