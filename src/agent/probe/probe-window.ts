import { described, nullable, number, record, type ValueOf } from '../../base/schema.ts';

/** Probes that count: at the default interval, the last five minutes. */
export const WINDOW = 30;

const pathHealth = record({
  probes: described(`number of the last probes, at most ${WINDOW}`, number),
  lost: described('how many of them had no answer', number),
  rttMs: described('median of the round trips, ms; null when none was answered', nullable(number)),
});

/** How a peer answers. */
export const peerHealth = record({
  tunnel: described('through the tunnel; null where plain routes lead to the peer', nullable(pathHealth)),
  underlay: described('over the underlay', pathHealth),
});

export type PathHealth = ValueOf<typeof pathHealth>;
export type PeerHealth = ValueOf<typeof peerHealth>;

/** The results of the last `WINDOW` probes along one path to a peer. */
export class ProbeWindow {
  readonly #rtts = new Float32Array(WINDOW);
  #probes = 0;
  #lostInARow = 0;

  /** @param rttMs undefined: no answer came */
  add(rttMs: number | undefined): void {
    this.#rtts[this.#probes % WINDOW] = rttMs ?? Number.NaN;
    this.#probes++;
    this.#lostInARow = rttMs === undefined ? this.#lostInARow + 1 : 0;
  }

  get lostInARow(): number {
    return this.#lostInARow;
  }

  get health(): PathHealth {
    const probes = Math.min(this.#probes, WINDOW);
    const answered = this.#rtts
      .subarray(0, probes)
      .filter(rtt => !Number.isNaN(rtt))
      .sort();
    const rttMs = answered[answered.length >> 1];
    return { probes, lost: probes - answered.length, rttMs: rttMs ?? null };
  }
}
