import type { Mode } from '../../../encap/encap.ts';
import { VERDICTS } from '../descriptor/verdicts.ts';
import type { TablesWriter } from '../tables/writer.ts';
import { createTapControl, createTapRing, TAPS } from './tap-control.ts';

/** What describes the overlay, of the options of the data plane. */
interface CapturedOverlay {
  readonly mode: Mode;
  readonly vni: number;
  readonly address: string;
  readonly port: number;
}

/** Memory by which one worker lets itself be captured. */
export interface WorkerTaps {
  readonly control: SharedArrayBuffer;
  /** By tap. */
  readonly rings: readonly SharedArrayBuffer[];
}

/** By which a data plane lets itself be captured: a control block, rings, and names for what stands in them. */
export class TapRegistry {
  readonly control = createTapControl();
  /** By tap, one a worker. */
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

  /** True when the data plane has ended: nothing comes any more. */
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

  /** What the records mean at this moment, as `capture/live/context.ts` wants it. */
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
