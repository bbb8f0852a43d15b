import { elementAt } from '../../base/at.ts';
import type { CaptureContext, CapturePeer, OuterLink, PeerChange } from './context.ts';

/** Versions of a slot that are kept: records of two workers are at most a few generations apart. */
const VERSIONS_MAX = 8;

interface Version {
  readonly generation: number;
  readonly peer: CapturePeer | undefined;
}

/**
 * Which peer had a slot at which generation of the tables. A slot passes to another peer, and a peer gets another address;
 * a record names its peer as it was when the frame was handled. Besides, how the kernel sends to the peers' addresses.
 */
export class PeerHistory {
  /** By slot, the oldest first. */
  readonly #slots: Version[][] = [];
  #generation: number;
  readonly #links = new Map<string, OuterLink>();

  constructor({ generation, peers }: Pick<CaptureContext, 'generation' | 'peers'>) {
    this.#generation = generation;
    for (const [slot, peer] of peers.entries()) if (peer) this.#slots[slot] = [{ generation, peer }];
  }

  /** The latest generation that it knows. */
  get generation(): number {
    return this.#generation;
  }

  /** Adds a change; changes come in order. */
  apply({ generation, slots }: PeerChange): void {
    this.#generation = generation;
    for (const { slot, peer } of slots) {
      this.#slots[slot] ??= [];
      const versions = elementAt(this.#slots, slot);
      versions.push({ generation, peer: peer ?? undefined });
      if (versions.length > VERSIONS_MAX) versions.shift();
    }
  }

  /** The peers of all slots and versions. */
  *all(): Generator<CapturePeer, void, void> {
    for (const versions of this.#slots) for (const { peer } of versions ?? []) if (peer) yield peer;
  }

  /** Notes how the kernel sends to an address from now on. */
  setLink(link: OuterLink): void {
    this.#links.set(link.address, link);
  }

  linkTo(address: string): OuterLink | undefined {
    return this.#links.get(address);
  }

  /** The peer of a slot, undefined for slot -1 and for a slot without a peer. */
  at(slot: number, generation: number): CapturePeer | undefined {
    const versions = slot < 0 ? undefined : this.#slots[slot];
    return versions?.findLast(version => version.generation <= generation)?.peer;
  }
}
