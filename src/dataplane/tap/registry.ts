import type { Mode } from '../../../encap/encap.ts';
import type { Peer } from '../descriptor/peer.ts';
import { VERDICTS } from '../descriptor/verdicts.ts';
import type { TablesWriter } from '../tables/writer.ts';
import { createHeaderMemory } from './header-recorder.ts';
import { createLossMemory } from './loss-recorder.ts';
import { createTapControl, createTapRing, isRecording, setRecording, TAPS } from './tap-control.ts';

/** The part of the options that describes the overlay. */
interface CapturedOverlay {
  readonly mode: Mode;
  readonly vni: number;
  readonly address: string;
  readonly port: number;
  /** Each has two directions. */
  readonly queues?: number;
  /** Absent: no flight recorder. */
  readonly recorder?: RecorderOptions | undefined;
}

/** Shared memory of the taps of one worker. */
export interface WorkerTaps {
  readonly control: SharedArrayBuffer;
  /** By tap. */
  readonly rings: readonly SharedArrayBuffer[];
  /** Of the flight recorder. */
  readonly losses: SharedArrayBuffer | undefined;
  readonly headers: SharedArrayBuffer | undefined;
}

/** The flight recorder of a data plane. */
interface RecorderOptions {
  /** Record the headers of all frames from the start. */
  readonly headers: boolean;
  /** Bytes for the headers of all frames, shared by the workers. */
  readonly bytes: number;
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
  /** By tap, one per direction. */
  readonly rings: readonly SharedArrayBuffer[][] = Array.from({ length: TAPS }, () => []);
  /** Memory of the flight recorder by worker; none without it. */
  readonly losses: SharedArrayBuffer[] = [];
  readonly headers: SharedArrayBuffer[] = [];
  /** Called before the peers change, so that what was recorded can be named by those that were. */
  beforeChange: () => void = () => {};
  /** Called when a slot is free for another peer. */
  slotFreed: (slot: number) => void = () => {};
  /** Switches the report of outer headers; the data plane sets it when its sockets are open. */
  onReportHeaders: (isOn: boolean) => void = () => {};
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
    writer.onChange = () => this.beforeChange();
    writer.onSlotFreed = slot => this.slotFreed(slot);
    writer.onPublish = () => this.#noteChange();
    if (overlay.recorder?.headers) this.isRecording = true;
  }

  /** True when the data plane has stopped: no more records come. */
  get isClosed(): boolean {
    return this.#isOver;
  }

  close(): void {
    this.#isOver = true;
  }

  /** True while the workers record the headers of all frames. They see a change at their next batch. */
  get isRecording(): boolean {
    return isRecording(this.control);
  }

  set isRecording(isOn: boolean) {
    setRecording(this.control, isOn);
  }

  /** Whether the kernel is to report the outer headers of received datagrams. */
  reportHeaders(isOn: boolean): void {
    if (!this.#isOver) this.onReportHeaders(isOn);
  }

  addWorker(): WorkerTaps {
    const rings = this.rings.map(workers => {
      const ring = createTapRing();
      workers.push(ring);
      return ring;
    });
    const { recorder, queues = 1 } = this.#overlay;
    const losses = recorder && createLossMemory();
    const headers = recorder && createHeaderMemory(Math.floor(recorder.bytes / (2 * queues)));
    if (losses) this.losses.push(losses);
    if (headers) this.headers.push(headers);
    return { control: this.control, rings, losses, headers };
  }

  /** What each verdict of a record means, by number. */
  get verdicts() {
    return VERDICTS;
  }

  /** The slot that a peer has now. */
  slotOf(id: string): number | undefined {
    return this.#writer.slots.of(id);
  }

  /** The peer that has a slot now. */
  peerAt(slot: number): CapturedPeer | undefined {
    const peer = this.#writer.peerIn(slot);
    return peer && this.#shown(peer);
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
