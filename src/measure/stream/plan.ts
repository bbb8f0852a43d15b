import type { GeneratorOptions } from '../send/generator.ts';

export interface Rate {
  readonly unit: 'packets' | 'bits';
  /** Per second; Infinity: as fast as possible. */
  readonly perSecond: number;
}

export interface StreamPlan extends Omit<GeneratorOptions, 'stream' | 'nonce'> {
  readonly rate: Rate;
  readonly durationMs: number;
  readonly packets: number;
  /** The sink was asked at another address than packets are sent to. */
  readonly isElsewhere?: boolean;
  /** Packets per second that this generator sends at most; undefined: not measured. */
  readonly limit: number | undefined;
  /** Round trips by which the clocks are compared before and after. */
  readonly probes: number;
}
