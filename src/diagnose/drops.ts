import type { Agent } from '../agent/agent.ts';
import { described, number, record, string, type ValueOf } from '../base/schema.ts';
import type { CounterSnapshot } from '../dataplane/dataplane.ts';
import { VERDICTS } from '../dataplane/descriptor/verdicts.ts';

export const dropStatus = record({
  device: described('device of the overlay', string),
  reason: described('name of the verdict', string),
  direction: described('`egress`, `ingress` or `both`', string),
  frames: described('dropped frames', number),
  bytes: described('their bytes', number),
  meaning: described('what the verdict means', string),
  remedy: described('what to do', string),
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
