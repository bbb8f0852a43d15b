import { contain } from '../../base/boundary.ts';
import { componentLog, type Log } from '../../base/log.ts';
import type { DataPlane } from '../../dataplane/dataplane.ts';
import type { Peer } from '../../dataplane/descriptor/peer.ts';
import type { EventRecorder } from '../event-recorder.ts';
import type { Overlay } from '../overlay/overlay.ts';
import { OverlayProver } from './overlay-prover.ts';
import type { PeerProof, SegmentationState } from './peer-proof.ts';

const TICK_MS = 100;
/** Changes within this time make one line of the log and one event. */
const TOGETHER_MS = 2000;
/** Names in one line. */
const NAMES_MAX = 8;

interface ProofOptions {
  readonly overlays: () => readonly Overlay[];
  /** 0: nothing is sent, and nothing is answered. */
  readonly intervalMs: number;
  readonly log: Log;
  /** Records for a person what changed. */
  readonly recordEvent: (type: 'Normal' | 'Warning', message: string) => void;
}

/** Proves segmentation offload towards the peers of all overlays that this process carries. */
export class OffloadProofs {
  readonly #options: ProofOptions;
  readonly #log: Log;
  readonly #provers = new WeakMap<DataPlane, OverlayProver>();
  readonly #changed: PeerProof[] = [];
  #changedAt = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: ProofOptions) {
    this.#options = options;
    this.#log = componentLog(options.log, 'probe');
  }

  start(): void {
    if (this.#options.intervalMs === 0) return;
    this.#timer = setInterval(() => contain('offload proofs', () => this.#tick()), TICK_MS).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** Undefined where no trains are sent to the peer: it does not announce that it answers, or there is no offload. */
  of({ plane }: Overlay, peer: Peer): SegmentationState | undefined {
    return plane && this.#provers.get(plane)?.of(peer);
  }

  /** Peers of an overlay towards which segmentation is switched off. */
  broken(overlay: Overlay): { readonly peer: Peer; readonly state: SegmentationState }[] {
    return overlay.peers.flatMap(peer => {
      const state = this.of(overlay, peer);
      return state?.state === 'broken' ? { peer, state } : [];
    });
  }

  #tick(): void {
    const now = performance.now();
    for (const overlay of this.#options.overlays()) {
      const { plane } = overlay;
      if (plane) this.#proverOf(overlay, plane).tick(now);
    }
    if (this.#changed.length > 0 && now - this.#changedAt >= TOGETHER_MS) this.#report();
  }

  #proverOf(overlay: Overlay, plane: DataPlane): OverlayProver {
    const known = this.#provers.get(plane);
    if (known) return known;
    const changed = (proof: PeerProof): void => {
      if (this.#changed.push(proof) === 1) this.#changedAt = performance.now();
    };
    const prover = new OverlayProver({ overlay, plane, intervalMs: this.#options.intervalMs, changed });
    this.#provers.set(plane, prover);
    return prover;
  }

  /** One line for all peers that changed in the same way. */
  #report(): void {
    const changed = new Set(this.#changed.splice(0));
    const broken = [...changed].filter(({ state }) => state.state === 'broken');
    const intact = [...changed].filter(({ state }) => state.state === 'intact');
    if (broken.length > 0) {
      const message = `segmentation offload is off towards ${namesOf(broken)}: ${broken[0]?.state.detail}`;
      this.#log.warn(`${message}; run \`ripstop doctor\``);
      this.#options.recordEvent('Warning', message);
    }
    if (intact.length > 0) {
      const message = `segmentation offload is on again towards ${namesOf(intact)}: all trains arrive`;
      this.#log.info(message);
      this.#options.recordEvent('Normal', message);
    }
  }
}

/** `1 peer (node2)`, `12 peers (node2, …, and 4 more)`. */
function namesOf(proofs: readonly PeerProof[]): string {
  const names = proofs.map(({ peer }) => peer.node?.split('/')[0] ?? peer.address);
  const more = names.length > NAMES_MAX ? `, and ${names.length - NAMES_MAX} more` : '';
  return `${names.length === 1 ? '1 peer' : `${names.length} peers`} (${names.slice(0, NAMES_MAX).join(', ')}${more})`;
}

/** What the proofs need of an agent. */
interface Proven {
  readonly options: { readonly proofMs: number };
  readonly network: { readonly overlays: readonly Overlay[] } | undefined;
}

/** The proofs of an agent. */
export function proofsOf(agent: Proven, events: EventRecorder, log: Log): OffloadProofs {
  return new OffloadProofs({
    overlays: () => agent.network?.overlays ?? [],
    intervalMs: agent.options.proofMs,
    log,
    recordEvent: (type, message) => events.record(type, 'RipstopOffloads', message),
  });
}
