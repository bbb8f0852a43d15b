import type { HistogramCells } from '../figures/histogram.ts';
import type { ClockOffset } from './answer-reader.ts';
import type { FrameRoute } from './frame-sender.ts';
import type { UdpDestination } from './udp-sender.ts';

/** What the thread of a generator sends with. */
export interface GeneratorTask {
  /** `measure.keyOf` of the stream. */
  readonly key: number;
  /** Origin of this clock, seconds since 1970-01-01 UTC. */
  readonly originSeconds: number;
  /** UDP sockets by flow; the first one probes, and receives the answers. */
  readonly sockets: readonly number[];
  readonly to: UdpDestination;
  /** Where whole frames are written instead. */
  readonly frames: { readonly fd: number; readonly route: FrameRoute } | undefined;
  readonly gso: boolean;
  /** Bytes of the IP packets, in turn. */
  readonly sizes: Uint16Array;
  readonly flows: number;
  /** Set to stop a run. */
  readonly stop: Int32Array;
  /** One element, in shared memory: packets of the run so far. */
  readonly live: Float64Array;
}

export type Order =
  | {
      readonly kind: 'run';
      /** Packets or bits of IP packets per second; Infinity: unpaced. */
      readonly perSecond: number;
      readonly unit: 'packets' | 'bits';
      readonly durationMs: number;
      readonly packets: number;
      /** Whether some packets ask for an answer. */
      readonly asks: boolean;
    }
  | { readonly kind: 'probe'; readonly probes: number };

export interface SentFigures {
  readonly packets: number;
  /** Bytes of their IP packets. */
  readonly bytes: number;
  /** Packets that the kernel did not take, and the errno of the last one. */
  readonly refused: number;
  readonly errno: number;
  /** From the first packet to the end of the last call. */
  readonly elapsedMs: number;
  /** Most packets that were sent back to back. */
  readonly burst: number;
  readonly calls: number;
  /** Offloaded messages that the kernel refused and that went out one by one. */
  readonly fallbacks: number;
  readonly asked: number;
  readonly answered: number;
  readonly roundTrips: HistogramCells;
}

export type GeneratorOutcome =
  | { readonly kind: 'sent'; readonly sent: SentFigures }
  | {
      readonly kind: 'probed';
      readonly offset: ClockOffset | undefined;
      readonly probes: number;
      readonly answered: number;
      readonly roundTrips: HistogramCells;
    };
