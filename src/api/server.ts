import { request, type Server } from 'node:http';
import { join } from 'node:path';
import type { Agent } from '../agent/agent.ts';
import { withoutSecrets } from '../base/credentials.ts';
import { messageOf, RipstopError } from '../base/errors.ts';
import { type Log, logLevels, recentLines } from '../base/log.ts';
import { openPrivately } from '../base/private-socket.ts';
import { dropsOf } from '../diagnose/drops.ts';
import { IpStackCounters } from '../diagnose/ip-stack.ts';
import { nodeRecordOf } from '../diagnose/report/node-record.ts';
import { traceNodeFromAgent } from '../diagnose/trace/live.ts';
import type { Answer } from './answers.ts';
import { targetsOf } from './capture.ts';
import { flowsOf, readFlowsQuery } from './flows.ts';
import { createListener } from './listener.ts';
import { recorderOf } from './recorder/state.ts';
import { type DebugApi, type GetHandlers, handleRequest } from './routes.ts';
import { leasesOf, peersOf, pendingChanges, routesOf, statusOf } from './status.ts';

/** sun_path of unix(7) without its end; a longer one would be cut in silence. */
const SOCKET_PATH_MAX = 107;

/** Path of the agent's socket inside its state directory. @throws RipstopError ECONFIG for a path that is too long */
export function socketPath(stateDir: string): string {
  const path = join(stateDir, 'agent.sock');
  if (Buffer.byteLength(path) <= SOCKET_PATH_MAX) return path;
  throw new RipstopError(
    'ECONFIG',
    `${path}: longer than the path of a socket can be`,
    `it has at most ${SOCKET_PATH_MAX} bytes; choose another --state-dir`,
  );
}

/**
 * The agent's own interface: JSON over HTTP on a unix socket that its owner, and with `group` a group, may use. Reading
 * captures and log levels only: what changes the node goes through configuration and signals.
 * @returns `close` also ends all connections
 * @throws RipstopError EINUSE when another agent listens there, ESOCKET
 */
export async function serveApi(
  agent: Agent,
  path: string,
  group: number | undefined,
  version: string,
  web: () => Answer<'/web'>,
  log: Log,
): Promise<{ close(): Promise<void> }> {
  const startedAt = new Date();
  const stack = new IpStackCounters(agent.options.netns);
  const handlers: GetHandlers = {
    '/status': () => statusOf(agent, version, startedAt),
    '/peers': () => peersOf(agent),
    '/routes': () => routesOf(agent),
    '/leases': () => leasesOf(agent),
    '/drops': () => ({ drops: dropsOf(agent), stack: stack.changes() }),
    '/audit': async query => (await import('../diagnose/audit/audit.ts')).auditOf(agent, secondsOf(query)),
    '/runtime': async query => (await import('../diagnose/runtime.ts')).runtimeOf(agent, secondsOf(query)),
    '/latency': async query => (await import('../diagnose/latency/latency.ts')).latencyOf(agent, query),
    '/pending': () => pendingChanges(agent),
    '/recorder': () => recorderOf(agent),
    '/captures': () => targetsOf(debugApiOf(agent).captures),
    '/pods': () => agent.pods.all,
    '/flows': query => flowsOf(debugApiOf(agent), readFlowsQuery(query)),
    '/web': web,
    '/log-level': () => ({ levels: logLevels(log) }),
    '/log': () => recentLines(log).map(line => withoutSecrets(line, process.env)),
    '/node': () => {
      const node = traceNodeFromAgent(agent);
      return node ? nodeRecordOf(agent, node) : null;
    },
    // Loaded when asked for: the probes bring an addon of their own, and a node must start without it.
    '/doctor': async () => (await import('../diagnose/doctor/doctor.ts')).diagnose(agent),
  };
  if (await isAnswered(path))
    throw new RipstopError('EINUSE', `another agent listens on ${path}`, 'give this one its own --state-dir');
  const servers: Server[] = [];
  const create = (): Server => {
    const server = createListener(
      'socket',
      (incoming, response) => handleRequest(incoming, response, handlers, () => debugApiOf(agent), log),
      { hasStreams: true },
    );
    servers.push(server);
    return server;
  };
  try {
    const socket = await openPrivately({ path, part: 'socket', create, group, log: line => log.warn(line) });
    return {
      async close() {
        const ended = socket.close();
        for (const server of servers) server.closeAllConnections();
        await ended;
      },
    };
  } catch (error) {
    throw new RipstopError('ESOCKET', `${path}: ${messageOf(error)}`, 'is --state-dir writable?');
  }
}

/** Captures, flow tables and trace input of the overlays in userspace. */
export function debugApiOf(agent: Agent): DebugApi {
  const overlays = agent.network?.overlays ?? [];
  return {
    captures: overlays.flatMap(({ capture: hub, recorder, plan: { device, carries } }) =>
      hub && device !== undefined ? [{ device, families: carries, hub, recorder }] : [],
    ),
    flows: overlays.flatMap(overlay => overlay.flows ?? []),
    pods: agent.pods,
    node: traceNodeFromAgent(agent),
  };
}

/** True when something answers on the socket; a stale file of an earlier agent does not. */
async function isAnswered(path: string): Promise<boolean> {
  return new Promise(resolve => {
    const probe = request({ socketPath: path, path: '/status', timeout: 1000 }, response => {
      response.resume();
      resolve(true);
    });
    probe.on('timeout', () => probe.destroy(new Error('timeout')));
    probe.on('error', () => resolve(false));
    probe.end();
  });
}

/** Longest window of an audit or of timing: the caller waits for the answer. */
const WINDOW_SECONDS_MAX = 60;

/** @throws RipstopError ECONFIG */
function secondsOf(query: URLSearchParams): number {
  const seconds = Number(query.get('seconds') ?? Number.NaN);
  if (Number.isInteger(seconds) && seconds >= 1 && seconds <= WINDOW_SECONDS_MAX) return seconds;
  throw new RipstopError(
    'ECONFIG',
    `seconds "${query.get('seconds') ?? ''}" is not a whole number from 1 to ${WINDOW_SECONDS_MAX}`,
  );
}
