import { elementAt } from '../../base/at.ts';
import { openHeaderRing } from '../../dataplane/tap/header-recorder.ts';
import {
  isKept,
  type KeptRing,
  type KeptSpan,
  keptDistance,
  keptEnd,
  keptSpan,
} from '../../dataplane/tap/kept-ring.ts';
import type { CapturePeer } from '../live/context.ts';
import { PeerHistory } from '../live/peer-history.ts';
import {
  copyKept,
  createKeptFrame,
  type FrameLayout,
  type KeptFrame,
  keptTime,
  keptVerdict,
} from './kept-frame.ts';
import { kindOfWorker, type RecorderSource } from './source.ts';

/** The ring of one worker. */
export interface HeaderRing {
  readonly ring: KeptRing;
  /** KIND_EGRESS or KIND_INGRESS. */
  readonly kind: number;
}

/** How much of the traffic the rings hold. */
export interface HeaderCoverage {
  /** Frames per second at present, of all workers. */
  readonly rate: number;
  /** Seconds that the rings can hold at this rate, undefined without traffic. */
  readonly seconds: number | undefined;
}

/** The headers of the last frames of one data plane. */
export class HeaderStore {
  readonly rings: readonly HeaderRing[];
  readonly #source: RecorderSource;
  readonly #layout: FrameLayout;
  #history: PeerHistory | undefined;
  /** By ring, where the recording begins: what the rings have from before is not shown. */
  #begins: number[];
  /** Positions at the last `measure`, and its time. */
  #ends: number[];
  #measuredAt: number;
  #coverage: HeaderCoverage = { rate: 0, seconds: undefined };

  constructor(source: RecorderSource, layout: FrameLayout) {
    this.#source = source;
    this.#layout = layout;
    this.rings = source.headers.map((memory, worker) => ({
      ring: openHeaderRing(memory),
      kind: kindOfWorker(worker),
    }));
    this.#ends = this.rings.map(({ ring }) => keptEnd(ring));
    this.#begins = this.#ends;
    this.#measuredAt = performance.now();
    if (source.isRecording) this.#begin();
  }

  get isOn(): boolean {
    return this.#source.isRecording;
  }

  set isOn(isOn: boolean) {
    if (isOn === this.isOn) return;
    this.#source.isRecording = isOn;
    if (isOn) this.#begin();
  }

  #begin(): void {
    // Not a time: the clock may be set back.
    this.#begins = this.rings.map(({ ring }) => keptEnd(ring));
    this.#history = new PeerHistory(this.#source.context());
  }

  /** Takes up the changes of the peers and measures the rate. Call it every second or so. */
  update(): void {
    const history = this.#history;
    if (!history || !this.isOn) return;
    for (const change of this.#source.changesAfter(history.generation)) history.apply(change);
    this.#begins = this.rings.map((_, at) => this.span(at).start);
    const now = performance.now();
    const seconds = (now - this.#measuredAt) / 1000;
    if (seconds < 0.1) return;
    const ends = this.rings.map(({ ring }) => keptEnd(ring));
    const rates = ends.map(
      (end, i) => keptDistance(elementAt(this.rings, i).ring, elementAt(this.#ends, i), end) / seconds,
    );
    this.#ends = ends;
    this.#measuredAt = now;
    const times = rates.map((rate, i) => elementAt(this.rings, i).ring.capacity / rate);
    const shortest = Math.min(...times);
    this.#coverage = {
      rate: rates.reduce((sum, rate) => sum + rate, 0),
      seconds: Number.isFinite(shortest) ? shortest : undefined,
    };
  }

  get coverage(): HeaderCoverage {
    return this.#coverage;
  }

  /** Frames of any age that the rings have room for. */
  get capacity(): number {
    return this.rings.reduce((sum, { ring }) => sum + ring.capacity, 0);
  }

  /** The frames of a ring since the recording began. @param from leaves out those before it */
  span(at: number, from?: number): KeptSpan {
    const { ring } = elementAt(this.rings, at);
    const begin = elementAt(this.#begins, at);
    const span = keptSpan(ring, begin);
    const isLater =
      from !== undefined && keptDistance(ring, from, span.end) < keptDistance(ring, span.start, span.end);
    return isLater ? { start: from, end: span.end } : span;
  }

  /** Peers that a frame may belong to. */
  peers(): Iterable<CapturePeer> {
    return this.#history?.all() ?? [];
  }

  /** The peer of a slot at a generation. */
  peerAt(slot: number, generation: number): CapturePeer | undefined {
    return this.#history?.at(slot, generation);
  }

  /** Time of the first frame of each worker that `frames` has, ns; infinite for a worker without frames. */
  starts(from: number, most?: number): number[] {
    return this.rings.map(({ ring }, at) => {
      const span = this.span(at);
      const first = this.#first(ring, span, from, most);
      return first === span.end ? Number.POSITIVE_INFINITY : keptTime(ring, first);
    });
  }

  /**
   * Frames from a time on that the workers have published, the oldest first. A frame that is overwritten before its turn is
   * left out. One object is filled again and again; the second number is the size of its record.
   * @param from ns
   * @param points those of the capture
   * @param most the newest frames of each worker at most
   */
  *frames(
    from: number,
    points: number,
    most?: number,
  ): Generator<readonly [KeptFrame, number, number], void, void> {
    const sources = this.rings.map(({ ring, kind }, at) => {
      const span = this.span(at);
      const position = this.#first(ring, span, from, most);
      return { ring, end: span.end, position, frame: createKeptFrame(kind, this.#layout) };
    });
    for (;;) {
      let first: (typeof sources)[number] | undefined;
      let earliest = Number.POSITIVE_INFINITY;
      for (const source of sources) {
        if (source.position === source.end) continue;
        const time = keptTime(source.ring, source.position);
        if (time >= earliest) continue;
        earliest = time;
        first = source;
      }
      if (!first) return;
      const { ring, position, frame } = first;
      const verdict = keptVerdict(ring, position);
      const size = copyKept(ring, position, frame, points);
      if (isKept(ring, position)) {
        first.position = (position + 1) % ring.modulus;
        yield [frame, size, verdict];
      } else {
        const { start } = keptSpan(ring);
        const isBeyond = keptDistance(ring, position, start) > keptDistance(ring, position, first.end);
        first.position = isBeyond ? first.end : start;
      }
    }
  }

  /** Position of the first frame that is not older than `from`; the frames of a ring are in the order of their times. */
  #first(ring: KeptRing, { start, end }: KeptSpan, from: number, most = Number.POSITIVE_INFINITY): number {
    let high = keptDistance(ring, start, end);
    let low = Math.max(0, high - most);
    while (low < high) {
      const middle = (low + high) >> 1;
      if (keptTime(ring, (start + middle) % ring.modulus) < from) low = middle + 1;
      else high = middle;
    }
    return (start + low) % ring.modulus;
  }
}
