import type { Agent } from '../../agent/agent.ts';
import { failingOf } from '../../agent/faults.ts';
import { describeError, hasCode } from '../../base/errors.ts';
import { type Finding, fault } from './finding.ts';

/** The part of the agent that fails while the newest configuration cannot be followed. */
export const CONFIGURATION = 'configuration';

/** A network configuration that is gone or wrong: traffic continues with the former one, and the next start fails. */
export async function checkConfig(agent: Agent): Promise<Finding[]> {
  const reason = failingOf(agent).get(CONFIGURATION) ?? (await whyUnreadable(agent.store));
  if (reason === undefined) return [];
  return [
    fault(
      'config-unusable',
      `the network configuration of the store cannot be used: ${reason}; traffic continues with the former one, and the next start fails`,
      'write a valid network configuration to the store',
    ),
  ];
}

/** The stores report a configuration that changed, and not one that is gone. */
async function whyUnreadable(store: Agent['store']): Promise<string | undefined> {
  try {
    await store.networkConfig();
    return undefined;
  } catch (error) {
    // Whether the store is reachable is another finding.
    return hasCode(error, 'ECONFIG') ? describeError(error) : undefined;
  }
}
