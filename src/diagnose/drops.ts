import type { Agent } from '../agent/agent.ts';
import { type CounterSnapshot, VERDICTS } from '../dataplane/dataplane.ts';

export interface DropStatus {
  readonly device: string;
  readonly reason: string;
  readonly direction: string;
  readonly frames: number;
  readonly bytes: number;
  readonly meaning: string;
  readonly remedy: string;
}

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
