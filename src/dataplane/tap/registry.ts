import type { Mode } from '../../../encap/encap.ts';
import type { Peer } from '../descriptor/peer.ts';
import { VERDICTS } from '../descriptor/verdicts.ts';
import type { TablesWriter } from '../tables/writer.ts';
import { createTapControl, createTapRing, TAPS } from './tap-control.ts';

/** The part of the options that describes the overlay. */
interface CapturedOverlay {
  readonly mode: Mode;
  readonly vni: number;
  readonly address: string;
  readonly port: number;
}

/** Shared memory of the taps of one worker. */
export interface WorkerTaps {
  readonly control: SharedArrayBuffer;
  /** By tap. */
  readonly rings: readonly SharedArrayBuffer[];
}

/** A peer as captures show it. */
interface CapturedPeer {
  readonly id: string;
  readonly address: string;
  readonly port: number;
  readonly remoteChecksum: boolean;
}

/** What one generation of the tables changed: slots with their new peers, null for one that is free. */
export interface PeerSlotChanges {
  readonly generation: number;
  readonly slots: readonly { readonly slot: number; readonly peer: CapturedPeer | null }[];
}

/** Generations of which the changes are kept. A reader that stalls for longer gets all peers in one change. */
const CHANGES_MAX = 1024;

/**
 * The capture points of a data plane: a control block, rings, and what the numbers in the records mean. While a tap is on,
 * it keeps what each generation changed, so that a record names its peer as it was.
 */
export class TapRegistry {
  readonly control = createTapControl();
  /** By tap, one per worker. */
  readonly rings: readonly SharedArrayBuffer[][] = Array.from({ length: TAPS }, () => []);
  #isOver = false;
  readonly #overlay: CapturedOverlay;
  readonly #writer: TablesWriter;
  readonly #sourcePorts: readonly number[];
  /** The peers of the last generation that was looked at, undefined while all taps are off. */
  #known: Map<number, CapturedPeer> | undefined;
  #changes: PeerSlotChanges[] = [];
  /** Generation after which `#changes` are complete. */
  #since = 0;

  /** @param sourcePorts ports of the sending sockets, by DESC_SOCKET */
  constructor(overlay: CapturedOverlay, writer: TablesWriter, sourcePorts: readonly number[]) {
    this.#overlay = overlay;
    this.#writer = writer;
    this.#sourcePorts = sourcePorts;
    writer.onPublish = () => this.#noteChange();
  }

  /** True when the data plane has stopped: no more records come. */
  get isClosed(): boolean {
    return this.#isOver;
  }

  close(): void {
    this.#isOver = true;
  }

  addWorker(): WorkerTaps {
    const rings = this.rings.map(workers => {
      const ring = createTapRing();
      workers.push(ring);
      return ring;
    });
    return { control: this.control, rings };
  }

  /** What the numbers in the records mean now, for `capture/live/context.ts`. */
  context() {
    const { mode, vni, address, port } = this.#overlay;
    const { generation } = this.#writer;
    const known = this.#slots();
    if (!this.#known) {
      this.#known = known;
      this.#changes = [];
      this.#since = generation;
    }
    const peers: CapturedPeer[] = [];
    for (const [slot, peer] of known) peers[slot] = peer;
    const sourcePorts = this.#sourcePorts;
    return { mode, vni, addresses: [address], port, sourcePorts, generation, peers, verdicts: VERDICTS };
  }

  /** What has changed after a generation, the oldest first. */
  changesAfter(generation: number): PeerSlotChanges[] {
    if (generation >= this.#writer.generation) return [];
    if (generation >= this.#since) return this.#changes.filter(change => change.generation > generation);
    const now = this.#slots();
    const slots = Array.from({ length: this.#writer.slots.capacity }, (_, slot) => ({
      slot,
      peer: now.get(slot) ?? null,
    }));
    return [{ generation: this.#writer.generation, slots }];
  }

  #noteChange(): void {
    if (!this.#known) return;
    if (Atomics.load(new Int32Array(this.control), 0) === 0) {
      this.#known = undefined;
      this.#changes = [];
      return;
    }
    const before = this.#known;
    const after = this.#slots();
    this.#known = after;
    const slots: { slot: number; peer: CapturedPeer | null }[] = [];
    for (const slot of before.keys()) if (!after.has(slot)) slots.push({ slot, peer: null });
    for (const [slot, peer] of after) if (!isSame(before.get(slot), peer)) slots.push({ slot, peer });
    this.#changes.push({ generation: this.#writer.generation, slots });
    if (this.#changes.length > CHANGES_MAX) this.#since = this.#changes.shift()?.generation ?? this.#since;
  }

  #slots(): Map<number, CapturedPeer> {
    const { slots, peers } = this.#writer;
    const found = new Map<number, CapturedPeer>();
    for (const peer of peers) {
      const slot = slots.of(peer.id);
      if (slot !== undefined) found.set(slot, this.#shown(peer));
    }
    return found;
  }

  #shown({ id, address, port, remoteChecksum }: Peer): CapturedPeer {
    return {
      id,
      address,
      port: port ?? this.#overlay.port,
      remoteChecksum: remoteChecksum === true && this.#overlay.mode === 'vxlan',
    };
  }
}

function isSame(a: CapturedPeer | undefined, b: CapturedPeer): boolean {
  return (
    a?.id === b.id && a.address === b.address && a.port === b.port && a.remoteChecksum === b.remoteChecksum
  );
}
