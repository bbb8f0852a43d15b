import type { CapturePeer } from '../live/context.ts';

/**
 * Numbers for the peers that flows have had. A slot of the tables passes to another peer, a number never does, so that a
 * flow keeps the peer that its packets went to.
 */
export class FlowPeers {
  /** By number; a peer that moved has its latest address. */
  readonly known: CapturePeer[] = [];
  readonly #numbers = new Map<string, number>();

  /** The number of a peer, -1 for none. */
  numberOf(peer: CapturePeer | undefined): number {
    if (peer === undefined) return -1;
    const number = this.#numbers.get(peer.id) ?? this.known.length;
    if (number === this.known.length) this.#numbers.set(peer.id, number);
    this.known[number] = peer;
    return number;
  }
}
