import type { Agent } from '../../agent/agent.ts';
import { type Finding, warning } from './finding.ts';

const ENDPOINT_REMEDIES: Readonly<Record<string, string>> = {
  health: '`ss -ltnp` shows which program has the port; stop it, or choose another --healthz-port',
  metrics: '`ss -ltnp` shows which program has the port; stop it, or choose another --metrics-address',
  web: '`ss -ltnp` shows which program has the port; stop it, or choose another --web-port',
};

/** Listeners that could not be opened. */
export function checkEndpoints(agent: Agent): Finding[] {
  return agent.endpoints.states
    .filter(({ problem }) => problem !== undefined)
    .map(({ name, location, problem }) =>
      warning(
        'endpoint-closed',
        `the endpoint ${name} on ${location} is not open: ${problem}; the agent keeps trying`,
        ENDPOINT_REMEDIES[name] ?? 'make its directory writable for the agent',
      ),
    );
}

/** Errors that ended an agent on this node. */
export function checkUncaught(agent: Agent): Finding[] {
  const { count, last } = agent.uncaught;
  if (!last) return [];
  return [
    warning(
      'uncaught-error',
      `the agent has ended ${count} times because of an uncaught error, last at ${last.at}: ${last.message}`,
      "this is a bug: report it with the line 'uncaught error' of the agent's log, which has the stack",
    ),
  ];
}
