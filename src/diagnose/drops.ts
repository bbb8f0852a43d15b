import type { Agent } from '../agent/agent.ts';
import type { Overlay } from '../agent/overlay/overlay.ts';
import { described, listOf, number, record, string, type ValueOf } from '../base/schema.ts';
import type { CounterSnapshot } from '../dataplane/dataplane.ts';
import { VERDICTS } from '../dataplane/descriptor/verdicts.ts';
import { stackChanges } from './audit/balance.ts';

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

export const dropsAnswer = record({
  drops: described('by device and reason, the most frequent first', listOf(dropStatus)),
  stack: described(
    'counters of the IP stack that changed since the agent started, all programs of the network namespace together; the drops contain some of them already',
    stackChanges,
  ),
});

type Verdicts = CounterSnapshot['verdicts'];

/** Frames lost by device and reason, the most frequent first; reasons that did not occur are left out. */
export function dropsOf(agent: Agent): DropStatus[] {
  return dropsBy(agent, overlay => overlay.counters()?.verdicts ?? {});
}

/** The same of the last ten minutes, without what was lost while the overlay started. */
export function recentDropsOf(agent: Agent): DropStatus[] {
  return dropsBy(agent, overlay => overlay.recentDrops());
}

function dropsBy(agent: Agent, read: (overlay: Overlay) => Verdicts): DropStatus[] {
  return (agent.network?.overlays ?? [])
    .flatMap(overlay => dropsIn(read(overlay)).map(drop => ({ device: overlay.plan.device ?? '', ...drop })))
    .sort((a, b) => b.frames - a.frames);
}

function dropsIn(verdicts: Verdicts): Omit<DropStatus, 'device'>[] {
  return VERDICTS.filter(verdict => verdict.drop).flatMap(({ name, direction, meaning, remedy }) => {
    const { frames, bytes } = verdicts[name] ?? { frames: 0, bytes: 0 };
    return frames > 0 ? [{ reason: name, direction, frames, bytes, meaning, remedy }] : [];
  });
}
