import type { Progress } from '../demo/progress.ts';
import type { Missing, Sample } from '../report/samples.ts';
import { churnSeconds, runChurnSuite } from './churn/run.ts';
import type { StoreKind } from './churn/stores.ts';
import { pauseSeconds, runPauses } from './pauses.ts';

/** Traffic under which garbage collections are counted, s. A longer run of it shows nothing more. */
const LONGEST_PAUSES = 600;

const pausesOf = (seconds: number): number => Math.min(seconds, LONGEST_PAUSES);

export const soakSeconds = (seconds: number, stores: readonly StoreKind[]): number =>
  pauseSeconds(pausesOf(seconds)) + stores.length * churnSeconds(seconds);

/** Long runs: garbage collections under traffic, and whether an agent grows while everything around it changes. */
export async function runSoak(
  seconds: number,
  stores: readonly StoreKind[],
  progress: Progress,
): Promise<{ samples: Sample[]; missing: Missing[] }> {
  const pauses = await runPauses(pausesOf(seconds), progress);
  const churn = await runChurnSuite(stores, seconds, progress);
  return {
    samples: [...pauses.samples, ...churn.samples],
    missing: [...pauses.missing, ...churn.missing],
  };
}
