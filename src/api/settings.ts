import type { Agent } from '../agent/agent.ts';
import type { Origin, SettingValue } from '../agent/config/settings.ts';

/** A setting of the data plane as it is in force, and where it was given. */
export interface SettingStatus {
  /** As in the static file; `offloads.tso` for a key of an object. */
  readonly name: string;
  readonly value: SettingValue;
  readonly origin: Origin;
}

/** All settings; empty while the node has no overlay. */
export function settingsOf(agent: Agent): readonly SettingStatus[] {
  return agent.network?.inputs.settings.list() ?? [];
}
