import type { Mode } from '../../../encap/encap.ts';
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

/** The capture points of a data plane: a control block, rings, and the context that their records need. */
export class TapRegistry {
  readonly control = createTapControl();
  /** By tap, one per worker. */
  readonly rings: readonly SharedArrayBuffer[][] = Array.from({ length: TAPS }, () => []);
  #isOver = false;
  readonly #overlay: CapturedOverlay;
  readonly #writer: TablesWriter;
  readonly #sourcePorts: readonly number[];

  /** @param sourcePorts ports of the sending sockets, by DESC_SOCKET */
  constructor(overlay: CapturedOverlay, writer: TablesWriter, sourcePorts: readonly number[]) {
    this.#overlay = overlay;
    this.#writer = writer;
    this.#sourcePorts = sourcePorts;
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
    const peers: { id: string; address: string; port: number }[] = [];
    for (const peer of this.#writer.peers) {
      const slot = this.#writer.slots.of(peer.id);
      if (slot === undefined) continue;
      peers[slot] = { id: peer.id, address: peer.address, port: peer.port ?? port };
    }
    const sourcePorts = this.#sourcePorts;
    return { mode, vni, addresses: [address], port, sourcePorts, peers, verdicts: VERDICTS };
  }
}
