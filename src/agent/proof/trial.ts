import type { TrainShape } from './shapes.ts';

/** Answers to trains of one shape before a place that never arrived counts as broken. */
const ANSWERS_LEAST = 4;
/** Answers after which a shape is left undecided, because the path loses datagrams that travel alone as well. */
const ANSWERS_MOST = 12;
/** Attempts in a row without an answer that end a trial. */
const SILENT_MOST = 2;

/** Sets have bit n for place n. */
export interface TrainArrivals {
  readonly train: bigint;
  readonly alone: bigint;
}

/**
 * What the answers to trains of one shape show. A place is broken that arrived in no train, although the same datagram arrived alone
 * each time: ordinary loss does not hit the same place again and again. A shape is intact when each place arrived once.
 */
export class ShapeTrial {
  readonly #all: bigint;
  #arrived = 0n;
  #suspects: bigint;
  #answers = 0;

  constructor({ segments }: TrainShape) {
    this.#all = (1n << BigInt(segments)) - 1n;
    this.#suspects = this.#all;
  }

  /** One answer. */
  note({ train, alone }: TrainArrivals): void {
    this.#answers++;
    this.#arrived |= train;
    this.#suspects &= ~train & alone;
  }

  /** Undefined: more answers are needed. */
  get outcome(): 'intact' | 'broken' | 'undecided' | undefined {
    if ((this.#arrived & this.#all) === this.#all) return 'intact';
    if (this.#answers >= ANSWERS_LEAST && this.#suspects !== 0n) return 'broken';
    return this.#answers >= ANSWERS_MOST ? 'undecided' : undefined;
  }

  /** Places that never arrived in a train and always alone. */
  get brokenPlaces(): number {
    let count = 0;
    for (let left = this.#suspects; left !== 0n; left &= left - 1n) count++;
    return count;
  }
}

export type TrialOutcome = 'intact' | 'broken' | 'undecided' | 'unanswered';

/** The trains of all shapes to one peer, one after the other; the first broken shape ends the trial. */
export class ProofTrial {
  readonly #shapes: readonly TrainShape[];
  #at = 0;
  #current: ShapeTrial | undefined;
  #silent = 0;
  #isUndecided = false;
  #outcome: TrialOutcome | undefined;

  constructor(shapes: readonly TrainShape[]) {
    this.#shapes = shapes;
  }

  /** The shape to send next; undefined when the trial is over. */
  get shape(): TrainShape | undefined {
    return this.outcome === undefined ? this.#shapes[this.#at] : undefined;
  }

  get outcome(): TrialOutcome | undefined {
    if (this.#outcome) return this.#outcome;
    if (this.#at < this.#shapes.length) return undefined;
    return this.#isUndecided ? 'undecided' : 'intact';
  }

  /** The broken shape, and how many of its places never arrived in a train. */
  get broken(): { readonly shape: TrainShape; readonly places: number } | undefined {
    const shape = this.#shapes[this.#at];
    if (this.#outcome !== 'broken' || !shape || !this.#current) return undefined;
    return { shape, places: this.#current.brokenPlaces };
  }

  answered(arrivals: TrainArrivals): void {
    const { shape } = this;
    if (!shape) return;
    this.#silent = 0;
    this.#current ??= new ShapeTrial(shape);
    this.#current.note(arrivals);
    const { outcome } = this.#current;
    if (outcome === 'broken') this.#outcome = outcome;
    else if (outcome !== undefined) {
      this.#isUndecided ||= outcome === 'undecided';
      this.#current = undefined;
      this.#at++;
    }
  }

  /** An attempt had no answer, or could not be sent. */
  unanswered(): void {
    if (++this.#silent >= SILENT_MOST) this.#outcome ??= 'unanswered';
  }
}
