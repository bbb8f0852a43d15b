import type { TrainArrivals } from './trial.ts';

/** Attempts of one peer that are remembered: it makes one at a time. */
const ATTEMPTS = 4;
/** Answers to one peer per second; a trial asks less than five times. */
const ANSWERS_PER_SECOND = 10;

interface FromPeer {
  /** By nonce, in hexadecimal digits; the oldest first. */
  readonly attempts: Map<string, { train: bigint; alone: bigint }>;
  /** Second in which answers are counted, and their number. */
  second: number;
  answers: number;
}

/** What arrived from the peers that try their trains on this node. Bounded memory and a bounded rate of answers per peer. */
export class ArrivalBook {
  readonly #peers = new Map<string, FromPeer>();

  /** A datagram arrived intact. */
  note(id: string, nonce: string, kind: keyof TrainArrivals, place: number): void {
    const { attempts } = this.#of(id);
    let attempt = attempts.get(nonce);
    if (!attempt) {
      attempt = { train: 0n, alone: 0n };
      attempts.set(nonce, attempt);
      const [oldest] = attempts.keys();
      if (attempts.size > ATTEMPTS && oldest !== undefined) attempts.delete(oldest);
    }
    attempt[kind] |= 1n << BigInt(place);
  }

  /** The answer to a question; undefined when the peer asks too often. @param nowMs monotonic */
  answer(id: string, nonce: string, nowMs: number): TrainArrivals | undefined {
    const peer = this.#of(id);
    const second = Math.floor(nowMs / 1000);
    if (peer.second !== second) peer.answers = 0;
    peer.second = second;
    if (++peer.answers > ANSWERS_PER_SECOND) return undefined;
    return peer.attempts.get(nonce) ?? { train: 0n, alone: 0n };
  }

  /** Forgets the peers that are gone. */
  keep(isPeer: (id: string) => boolean): void {
    for (const id of this.#peers.keys()) if (!isPeer(id)) this.#peers.delete(id);
  }

  #of(id: string): FromPeer {
    let peer = this.#peers.get(id);
    if (!peer) {
      peer = { attempts: new Map(), second: 0, answers: 0 };
      this.#peers.set(id, peer);
    }
    return peer;
  }
}
