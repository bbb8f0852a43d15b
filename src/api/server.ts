import { chmodSync, chownSync, existsSync, mkdirSync, rmSync } from 'node:fs';
import { request, type Server } from 'node:http';
import { dirname, join } from 'node:path';
import type { Agent } from '../agent/agent.ts';
import { contain } from '../base/boundary.ts';
import { messageOf, RipstopError } from '../base/errors.ts';
import { type Log, logLevels } from '../base/log.ts';
import { dropsOf } from '../diagnose/drops.ts';
import { traceNodeFromAgent } from '../diagnose/trace/node.ts';
import type { Answer } from './answers.ts';
import { targetsOf } from './capture.ts';
import { flowsOf, readFlowsQuery } from './flows.ts';
import { createListener } from './listener.ts';
import { type DebugApi, type GetHandlers, handleRequest } from './routes.ts';
import { leasesOf, peersOf, pendingChanges, routesOf, statusOf } from './status.ts';

/** Between two looks at the socket's file, ms. */
const LOOK_MS = 5000;

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
 * @throws RipstopError EINUSE when another agent listens there
 */
export async function serveApi(
  agent: Agent,
  path: string,
  group: number | undefined,
  version: string,
  web: () => Answer<'/web'>,
  log: Log,
): Promise<{ close(): void }> {
  const startedAt = new Date();
  const handlers: GetHandlers = {
    '/status': () => statusOf(agent, version, startedAt),
    '/peers': () => peersOf(agent),
    '/routes': () => routesOf(agent),
    '/leases': () => leasesOf(agent),
    '/drops': () => dropsOf(agent),
    '/pending': () => pendingChanges(agent),
    '/captures': () => targetsOf(debugApiOf(agent).captures),
    '/flows': query => flowsOf(debugApiOf(agent).flows, readFlowsQuery(query)),
    '/web': web,
    '/log-level': () => ({ levels: logLevels(log) }),
    // Loaded when asked for: the probes bring an addon of their own, and a node must start without it.
    '/doctor': async () => (await import('../diagnose/doctor/doctor.ts')).diagnose(agent),
  };
  const server = createListener(
    'socket',
    (incoming, response) => handleRequest(incoming, response, handlers, () => debugApiOf(agent), log),
    { hasStreams: true },
  );
  const open = async (): Promise<void> => {
    await listenOn(server, path);
    if (group === undefined) return;
    chownSync(path, -1, group);
    chmodSync(path, 0o660);
  };
  await open();
  return keepOpen(server, path, open, line => log.warn(line));
}

/**
 * Opens the socket again when its file is deleted; connections of before are still served.
 * @returns `close` also ends all connections
 */
export function keepOpen(
  server: Server,
  path: string,
  open: () => Promise<void>,
  log: (line: string) => void,
  lookMs = LOOK_MS,
): { close(): void } {
  let isClosed = false;
  let isOpening = false;
  const end = (): void => {
    server.close();
    server.closeAllConnections();
  };
  const look = async (): Promise<void> => {
    if (isOpening || existsSync(path)) return;
    isOpening = true;
    try {
      server.close();
      await open();
      log(`${path} was deleted; opened it again`);
    } finally {
      isOpening = false;
      if (isClosed) end();
    }
  };
  const timer = setInterval(() => contain('socket', look), lookMs);
  timer.unref();
  return {
    close() {
      isClosed = true;
      clearInterval(timer);
      end();
    },
  };
}

/** Captures, flow tables and trace input of the overlays in userspace. */
export function debugApiOf(agent: Agent): DebugApi {
  const overlays = agent.network?.overlays ?? [];
  return {
    captures: overlays.flatMap(({ capture: hub, plan: { device, carries } }) =>
      hub && device !== undefined ? [{ device, families: carries, hub }] : [],
    ),
    flows: overlays.flatMap(overlay => overlay.flows ?? []),
    node: traceNodeFromAgent(agent),
  };
}

/**
 * Listens on a unix socket that only its owner may use; a stale socket file is replaced.
 * @throws RipstopError EINUSE when a process answers there, ESOCKET
 */
export async function listenOn(server: Server, path: string): Promise<void> {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  } catch (error) {
    throw new RipstopError('ESOCKET', `${path}: ${messageOf(error)}`, 'is --state-dir writable?');
  }
  if (await isAnswered(path))
    throw new RipstopError('EINUSE', `another agent listens on ${path}`, 'give this one its own --state-dir');
  rmSync(path, { force: true });
  const umask = process.umask(0o177);
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', error => reject(new RipstopError('ESOCKET', `${path}: ${error.message}`)));
      server.listen(path, resolve);
    });
  } finally {
    process.umask(umask);
  }
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
