import { describeError } from '../../src/base/errors.ts';
import type { Progress } from '../demo/progress.ts';
import type { FigureId, Missing, Sample } from '../report/samples.ts';
import { measureBurst } from '../scale/burst.ts';

/** Nodes of the cluster, and seconds in which they come. */
const CLUSTERS: readonly (readonly [nodes: number, seconds: number])[] = [
  [10, 1],
  [100, 1],
  [1000, 5],
  [5000, 15],
];
const QUICK_CLUSTERS = CLUSTERS.slice(0, 1);
const REST_S = 12;
const QUICK_REST_S = 3;

/** Estimate, s. */
export const sizingSeconds = (quick: boolean): number => (quick ? 25 : 200);

/** What an agent needs without traffic: memory and idle CPU by the size of the cluster. */
export async function runSizing(
  quick: boolean,
  progress: Progress,
): Promise<{ samples: Sample[]; missing: Missing[] }> {
  const samples: Sample[] = [];
  const missing: Missing[] = [];
  const place = (condition: string) => ({ suite: 'sizing', contender: 'an agent', condition });
  const note = (condition: string, figures: Partial<Record<FigureId, number>>): void => {
    for (const [figure, value] of Object.entries(figures))
      samples.push({ ...place(condition), figure, round: 0, value });
  };
  const restS = quick ? QUICK_REST_S : REST_S;
  for (const [nodes, seconds] of quick ? QUICK_CLUSTERS : CLUSTERS) {
    const condition = `${nodes} nodes`;
    progress.step(`sizing: ${condition}`, 10 + 2 * seconds + 3 * restS);
    try {
      const { residentMb, peakMb, idlePercent } = await measureBurst({ nodes, seconds, dual: false, restS });
      note(condition, { residentMb, peakMb, idlePercent });
    } catch (error) {
      missing.push({ ...place(condition), figure: '', reason: describeError(error) });
    }
  }
  return { samples, missing };
}
