import { DROP_VERDICTS, OUTER_VERDICTS } from './verdicts.ts';

/** Bit n for verdict n, so that a worker tests a verdict without a search. */
export function verdictMask(verdicts: readonly number[]): number {
  return verdicts.reduce((mask, verdict) => mask | (1 << verdict), 0);
}

export const LOST_MASK = verdictMask(DROP_VERDICTS);
export const OUTER_MASK = verdictMask(OUTER_VERDICTS);
