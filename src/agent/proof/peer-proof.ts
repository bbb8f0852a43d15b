import { described, nullable, oneOf, record, string, type ValueOf } from '../../base/schema.ts';
import type { Peer } from '../../dataplane/descriptor/peer.ts';
import type { ProofLimits } from '../../dataplane/proof-port.ts';
import { describeShape, shapesFor, type TrainShape } from './shapes.ts';
import { ProofTrial, type TrainArrivals } from './trial.ts';

/** Time in which a train arrives before the peer is asked. */
const ARRIVE_MS = 250;
const ANSWER_MS = 1000;
/** Questions about one attempt. */
const QUESTIONS = 3;
/** A trial without a result is repeated after this time, doubled each time. */
const RETRY_MS = 60_000;

/** What is known of segmentation offload towards one peer. */
export const segmentationState = record({
  state: described(
    '`untested` until the first result; `intact`: trains arrive; `broken`: they do not, and datagrams leave one by one',
    oneOf(['untested', 'intact', 'broken']),
  ),
  since: described('when this state began; null while untested', nullable(string)),
  detail: described('the train that is broken; null unless broken', nullable(string)),
});

export type SegmentationState = ValueOf<typeof segmentationState>;

/** What is sent to the peer. */
export interface ProofActions {
  /** @returns false when the train could not be sent */
  readonly train: (nonce: string, shape: TrainShape) => boolean;
  readonly ask: (nonce: string) => void;
  /** A random number in hexadecimal digits, which no other node can guess. */
  readonly nonce: () => string;
}

interface Attempt {
  readonly nonce: string;
  /** Monotonic ms, as all times here. */
  nextAt: number;
  questions: number;
}

/** The trials of segmentation offload towards one peer, one after the other, each of several attempts. Time is an argument. */
export class PeerProof {
  readonly peer: Peer;
  state: SegmentationState = { state: 'untested', since: null, detail: null };
  /** When the next trial is due. */
  dueAt: number;
  readonly #intervalMs: number;
  #trial: ProofTrial | undefined;
  #overhead = 0;
  #attempt: Attempt | undefined;
  #failures = 0;

  constructor(peer: Peer, dueAt: number, intervalMs: number) {
    this.peer = peer;
    this.dueAt = dueAt;
    this.#intervalMs = intervalMs;
  }

  get isRunning(): boolean {
    return this.#trial !== undefined;
  }

  begin(limits: ProofLimits): void {
    this.#trial = new ProofTrial(shapesFor(limits));
    this.#overhead = limits.overhead;
    this.#attempt = undefined;
  }

  /** The peer answered; an answer to anything but the present attempt is ignored. */
  answered(nonce: string, arrivals: TrainArrivals): void {
    if (!this.#attempt || this.#attempt.questions === 0 || this.#attempt.nonce !== nonce) return;
    this.#attempt = undefined;
    this.#trial?.answered(arrivals);
  }

  /** Takes the next step. @returns true when the state changed between broken and not broken */
  step(nowMs: number, actions: ProofActions): boolean {
    const trial = this.#trial;
    if (!trial) return false;
    const attempt = this.#attempt;
    if (attempt && nowMs < attempt.nextAt) return false;
    if (attempt && attempt.questions < QUESTIONS) {
      attempt.questions++;
      attempt.nextAt = nowMs + ANSWER_MS;
      actions.ask(attempt.nonce);
      return false;
    }
    if (attempt) trial.unanswered();
    this.#attempt = undefined;
    const { shape } = trial;
    if (!shape) return this.#end(trial, nowMs);
    const nonce = actions.nonce();
    if (actions.train(nonce, shape)) this.#attempt = { nonce, nextAt: nowMs + ARRIVE_MS, questions: 0 };
    else trial.unanswered();
    return false;
  }

  #end(trial: ProofTrial, nowMs: number): boolean {
    this.#trial = undefined;
    const { outcome, broken } = trial;
    const isResult = outcome === 'intact' || outcome === 'broken';
    this.#failures = isResult ? 0 : this.#failures + 1;
    const waitMs = isResult ? this.#intervalMs : RETRY_MS * 2 ** (this.#failures - 1);
    // Nodes that started together do not march in step.
    this.dueAt = nowMs + Math.min(waitMs, this.#intervalMs) * (0.9 + Math.random() / 5);
    if (!isResult || (outcome === this.state.state && !broken)) return false;
    const wasBroken = this.state.state === 'broken';
    const detail = broken
      ? `trains of ${describeShape(broken.shape, this.#overhead)}: ${broken.places} datagrams never arrive, alone all do`
      : null;
    const since = outcome === this.state.state ? this.state.since : new Date().toISOString();
    this.state = { state: outcome, since, detail };
    return wasBroken !== (outcome === 'broken');
  }
}
