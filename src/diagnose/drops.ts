import type { Agent } from '../agent/agent.ts';
import { number, record, string, type ValueOf } from '../base/schema.ts';
import type { CounterSnapshot } from '../dataplane/dataplane.ts';
import { VERDICTS } from '../dataplane/descriptor/verdicts.ts';

export const dropStatus = record({
  ...{ device: string, reason: string, direction: string, frames: number, bytes: number },
  ...{ meaning: string, remedy: string },
});

export type DropStatus = ValueOf<typeof dropStatus>;

/** Frames lost by device and reason, the most frequent first; reasons that did not occur are left out. */
export function dropsOf(agent: Agent): DropStatus[] {
  return (agent.network?.overlays ?? [])
    .flatMap(overlay => {
      const counters = overlay.counters();
      return counters ? dropsIn(counters).map(drop => ({ device: overlay.plan.device ?? '', ...drop })) : [];
    })
    .sort((a, b) => b.frames - a.frames);
}

function dropsIn(counters: CounterSnapshot): Omit<DropStatus, 'device'>[] {
  return VERDICTS.filter(verdict => verdict.drop).flatMap(({ name, direction, meaning, remedy }) => {
    const { frames, bytes } = counters.verdicts[name] ?? { frames: 0, bytes: 0 };
    return frames > 0 ? [{ reason: name, direction, frames, bytes, meaning, remedy }] : [];
  });
}
