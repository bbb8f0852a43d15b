import type { Server } from 'node:http';
import { join } from 'node:path';
import { describeError } from '../base/errors.ts';
import { createLog, type Log } from '../base/log.ts';
import { describeRefusal, onRefusedSetting } from '../net/sysctl.ts';
import { Agent } from './agent.ts';
import { SOCKET_NAME, serveApi } from './api-server.ts';
import type { Flags } from './config/flags.ts';
import { agentOptions, openStore } from './options.ts';
import type { OtlpMetrics } from './otlp-metrics.ts';
import type { PageOptions } from './page/access.ts';
import type { Page } from './page/server.ts';
import { stuckWorker } from './status.ts';
import { Systemd } from './systemd.ts';

const POLL_READY_MS = 250;

/** Something that lives beside the agent and is closed last, as the socket of the CNI executables. */
export type Companion = (agent: Agent, stateDir: string, log: Log) => Promise<{ close(): Promise<void> }>;

/** The agent as a process: logs, signals, endpoints, systemd. Resolves when it has ended. @throws RipstopError at start */
export async function runAgent(
  flags: Flags,
  version: string,
  companions: readonly Companion[] = [],
): Promise<void> {
  const log = createLog(logLevel(flags));
  for (const note of flags.notes) log.info(note);
  onRefusedSetting(setting => log.warn(describeRefusal(setting)));
  const { store, nodeName } = await openStore(flags, process.env);
  const options = agentOptions(flags, nodeName);
  const agent = new Agent(options, store, log);
  const systemd = new Systemd(process.env);

  // The socket first: it shows that no other agent works here. What is beside the agent comes when packets flow.
  let page: Page | undefined;
  const link = () => ({ link: page?.link ?? null });
  const socket = join(options.stateDir, SOCKET_NAME);
  const api = await serveApi(agent, socket, options.socketGroup, version, link);
  log.info({ version, node: nodeName, store: store.place, pid: process.pid }, 'agent starts');
  const ended = agent.run();
  let wasReady = false;
  const watch = setInterval(() => {
    const { isReady } = agent.readiness;
    if (isReady && !wasReady) systemd.ready();
    if (!isReady && wasReady) systemd.status(agent.readiness.reasons().join('; '));
    wasReady = isReady;
  }, POLL_READY_MS);
  // That this timer fires shows that the event loop turns; a worker that hangs is beyond the help of its own process.
  systemd.watch(() => stuckWorker(agent) === undefined);

  const stop = (signal: string): void => {
    log.info({ signal }, 'ending');
    systemd.stopping();
    agent.stop();
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
  process.on('SIGHUP', () => {
    systemd.reloading();
    void agent.reload();
  });
  const telemetry = await openTelemetry(agent, nodeName, version, log);
  page = options.page && (await openPage(agent, options.page, version, log));
  let health: Server | undefined;
  let beside: Awaited<ReturnType<Companion>>[];
  try {
    health = options.health && (await openHealth(agent, options.health));
    beside = await Promise.all(companions.map(open => open(agent, options.stateDir, log)));
  } catch (error) {
    // Packets flow by now: the overlay is left in order.
    agent.stop();
    await ended;
    throw error;
  }
  await ended;
  clearInterval(watch);
  await telemetry?.stop();
  page?.close();
  for (const server of [api, health]) {
    server?.close();
    server?.closeAllConnections();
  }
  await Promise.all(beside.map(companion => companion.close()));
  log.info('ended');
}

/** Loaded when wanted only: the Prometheus client is no small thing. */
async function openHealth(
  agent: Agent,
  { address, port }: { address: string; port: number },
): Promise<Server> {
  const { serveHealth } = await import('./health-server.ts');
  return serveHealth(agent, address, port);
}

/** A port that is taken costs the page, not the node. */
async function openPage(
  agent: Agent,
  options: PageOptions,
  version: string,
  log: Log,
): Promise<Page | undefined> {
  const { Page } = await import('./page/server.ts');
  const { agentSource } = await import('./page/source.ts');
  try {
    return await Page.serve(agentSource(agent, version), options);
  } catch (error) {
    log.warn(`there is no page: ${describeError(error)}`);
    return undefined;
  }
}

/** Loaded where OpenTelemetry's variables name an endpoint. What is wrong with them is no reason not to carry packets. */
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
    log.warn(`no metrics for OpenTelemetry: ${describeError(error)}`);
    return undefined;
  }
}

/** --log-level, or klog's -v where only that is given. */
function logLevel(flags: Flags): string {
  const level = flags.text('log-level');
  const verbosity = flags.number('v');
  if (level !== 'info' || verbosity === 0) return level;
  return verbosity >= 4 ? 'trace' : 'debug';
}
