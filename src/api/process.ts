import type { Server } from 'node:http';
import { isDeepStrictEqual } from 'node:util';
import { Agent } from '../agent/agent.ts';
import type { Flags } from '../agent/config/flags.ts';
import type { ListenAddress, Opened } from '../agent/endpoints.ts';
import { type AgentOptions, agentOptions, openStore } from '../agent/inputs/options.ts';
import type { LeaseStore } from '../agent/lease/store.ts';
import type { Condition } from '../agent/readiness.ts';
import { logContained } from '../agent/uncaught-record.ts';
import { contain } from '../base/boundary.ts';
import { describeError } from '../base/errors.ts';
import { componentLog, createLog, type Log } from '../base/log.ts';
import { heapTrim } from '../base/memory/heap-trim.ts';
import { endWhenUncaught } from '../base/uncaught.ts';
import { formatEndpoint } from '../ip/address.ts';
import { describeRefusedSysctl, onRefusedSysctl } from '../net/sysctl.ts';
import type { Served } from './health.ts';
import type { OtlpMetrics } from './otlp-metrics.ts';
import { serveApi, socketPath } from './server.ts';
import { stuckWorker } from './status.ts';
import { Systemd } from './systemd.ts';
import { type WebOptions, webToken } from './web/access.ts';
import type { WebServer } from './web/server.ts';

const POLL_READY_MS = 250;

/** An additional listener that pods need, such as the socket of the CNI executables. */
export interface SideService {
  /** Condition of readiness that fails while the listener is not open; also its name. */
  readonly condition: Condition;
  readonly place: (stateDir: string) => string;
  readonly open: (agent: Agent, place: string, log: Log) => Promise<Opened>;
}

/** Validated options of an agent, and what was opened from them. */
export interface PreparedAgent {
  readonly options: AgentOptions;
  readonly store: LeaseStore;
  /** Path of the agent's socket. */
  readonly socket: string;
  /** Undefined: no web UI. */
  readonly web: WebOptions | undefined;
  readonly log: Log;
  /** Remarks about the flags, for the log. */
  readonly notes: readonly string[];
}

/** Validates flags and files; changes nothing on the node. @throws RipstopError ECONFIG, ESTORE */
export async function prepareAgent(flags: Flags): Promise<PreparedAgent> {
  const { store, nodeName, netns } = await openStore(flags, process.env);
  const options = agentOptions(flags, nodeName, netns);
  const { web, stateDir } = options;
  return {
    options,
    store,
    log: logOf(flags),
    notes: flags.notes,
    socket: socketPath(stateDir),
    web: web && { ...web, token: webToken(web.address, web.tokenFile) },
  };
}

/** The agent as a process: logs, signals, endpoints, systemd. Resolves when it has ended. @throws RipstopError at start */
export async function runAgent(
  { options, store, socket, web, log, notes }: PreparedAgent,
  version: string,
  sideServices: readonly SideService[] = [],
): Promise<void> {
  logContained(log);
  for (const note of notes) log.info(note);
  onRefusedSysctl(setting => log.warn(describeRefusedSysctl(setting)));
  const { nodeName } = options;
  const agent = new Agent(options, store, componentLog(log, 'agent'));
  const systemd = new Systemd(process.env);

  // The socket first: it shows that no other agent works here. The other endpoints open while the overlay starts.
  let webServer: WebServer | undefined;
  const link = () => ({ link: webServer?.link ?? null });
  const api = await serveApi(agent, socket, options.socketGroup, version, link, componentLog(log, 'api'));
  log.info({ version, node: nodeName, store: store.location, pid: process.pid }, 'agent starts');
  const stop = (signal: string): void => {
    log.info({ signal }, 'stopping');
    systemd.stopping();
    agent.stop();
  };
  endWhenUncaught(
    (error, origin) => agent.uncaught.add(error, origin, log),
    () => stop('uncaught error'),
  );
  const ended = agent.run();
  // An error is thrown below, after all endpoints have been opened.
  ended.catch(() => {});
  let wasReady = false;
  const watchReadiness = (): void => {
    const { isReady } = agent.readiness;
    if (isReady && !wasReady) systemd.ready();
    if (!isReady && wasReady) systemd.status(agent.readiness.reasons().join('; '));
    wasReady = isReady;
  };
  const watch = setInterval(() => contain('systemd', watchReadiness), POLL_READY_MS);
  // The timer shows that the event loop runs. A process cannot repair a worker thread that hangs.
  systemd.watch(() => stuckWorker(agent) === undefined);

  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
  process.on('SIGHUP', () => {
    systemd.reloading();
    void agent.reload();
  });
  heapTrim.watch();
  const telemetry = await openTelemetry(agent, nodeName, version, componentLog(log, 'api'));
  if (web)
    agent.endpoints.open('web', formatEndpoint(web.address, web.port), async () => {
      webServer = await openWeb(agent, web, version);
      return webServer;
    });
  for (const [place, served] of tcpServers(options)) {
    // Loaded on demand: the Prometheus client takes time and memory.
    const open = async (): Promise<Opened> =>
      closing(await (await import('./health.ts')).serveHealth(agent, place, served));
    agent.endpoints.open(
      served.health ? 'health' : 'metrics',
      formatEndpoint(place.address, place.port),
      open,
    );
  }
  for (const { condition, place, open } of sideServices) {
    const path = place(options.stateDir);
    agent.endpoints.open(
      condition,
      path,
      () => open(agent, path, log),
      problem => {
        if (problem === undefined) agent.readiness.setTrue(condition);
        else agent.readiness.setFalse(condition, problem);
      },
    );
  }
  try {
    await ended;
  } finally {
    clearInterval(watch);
    heapTrim.stop();
    await telemetry?.stop();
    await agent.endpoints.close();
    api.close();
  }
  log.info('ended');
}

/** The HTTP servers to open; a single one if probes and metrics have the same address. */
function tcpServers({
  health,
  metrics,
}: Pick<Agent['options'], 'health' | 'metrics'>): [ListenAddress, Served][] {
  const isShared = health && metrics && isDeepStrictEqual(health, metrics);
  if (isShared) return [[health, { health: true, metrics: true }]];
  return [
    ...(health ? [[health, { health: true, metrics: false }] as [ListenAddress, Served]] : []),
    ...(metrics ? [[metrics, { health: false, metrics: true }] as [ListenAddress, Served]] : []),
  ];
}

/** Closes without waiting for open requests. */
function closing(server: Server): Opened {
  return {
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

async function openWeb(agent: Agent, options: WebOptions, version: string): Promise<WebServer> {
  const { WebServer } = await import('./web/server.ts');
  const { agentSource } = await import('./web/source.ts');
  return WebServer.serve(agentSource(agent, version), options);
}

/** Starts the OTLP export if OpenTelemetry's variables name an endpoint. Invalid variables are logged and disable the export. */
async function openTelemetry(
  agent: Agent,
  node: string,
  version: string,
  log: Log,
): Promise<OtlpMetrics | undefined> {
  const { env } = process;
  if (!env.OTEL_EXPORTER_OTLP_ENDPOINT && !env.OTEL_EXPORTER_OTLP_METRICS_ENDPOINT) return undefined;
  const { OtlpMetrics, otlpOptions } = await import('./otlp-metrics.ts');
  try {
    const options = otlpOptions(env, node);
    return options && new OtlpMetrics(agent, options, version, log);
  } catch (error) {
    log.warn(`OTLP export disabled: ${describeError(error)}`);
    return undefined;
  }
}

/** The log that --log-level, --log-format and klog's -v describe. @throws RipstopError ECONFIG */
export function logOf(flags: Flags): Log {
  return createLog(logLevels(flags), flags.text('log-format'));
}

/** --log-level, or klog's -v where only that is given. */
function logLevels(flags: Flags): string {
  const level = flags.text('log-level');
  const verbosity = flags.number('v');
  if (level !== 'info' || verbosity === 0) return level;
  return verbosity >= 4 ? 'trace' : 'debug';
}
