import type { Agent } from '../../agent/agent.ts';
import { failingOf } from '../../agent/faults.ts';
import { type Finding, fault } from './finding.ts';

/** The part of the agent that fails while the newest configuration cannot be followed. */
export const CONFIGURATION = 'configuration';

/** A network configuration that is gone or wrong: traffic continues with the former one, and the next start fails. */
export function checkConfig(agent: Agent): Finding[] {
  const reason = failingOf(agent).get(CONFIGURATION);
  if (reason === undefined) return [];
  return [
    fault(
      'config-unusable',
      `the network configuration of the store cannot be used: ${reason}; traffic continues with the former one, and the next start fails`,
      'write a valid network configuration to the store',
    ),
  ];
}
