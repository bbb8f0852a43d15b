import type { Server } from 'node:http';
import { isIP } from 'node:net';
import { hostname } from 'node:os';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { Endpoints } from '../../../agent/endpoints.ts';
import type { OverlayNode } from '../../../agent/node/node.ts';
import { logContained } from '../../../agent/uncaught-record.ts';
import type { WebOptions } from '../../../api/web/access.ts';
import type { WebServer } from '../../../api/web/server.ts';
import { describeError, RipstopError } from '../../../base/errors.ts';
import { createLog, type Log } from '../../../base/log.ts';
import { endWhenUncaught, stackOf } from '../../../base/uncaught.ts';

const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'];

interface RunOptions {
  config: string;
  check?: true;
  logLevel: string;
  socket?: string;
  web?: Pick<WebOptions, 'address' | 'port' | 'hosts'>;
  webTokenFile?: string;
}

/** `ripstop run`: one node of an overlay in the foreground, its peers listed in a file. */
export function addRun(program: Command): void {
  program
    .command('run')
    .summary('run one node in the foreground, its peers listed in a file')
    .description(
      'Runs one node of an overlay in the foreground. The file lists the peers; no store is needed. ' +
        'Device, addresses, routes and neighbours are made at start and removed at the end ' +
        '(Ctrl-C or SIGTERM). SIGHUP reads the peers again while traffic flows.',
    )
    .requiredOption('-c, --config <file>', 'YAML file, or - for standard input')
    .option('--check', 'check the file and end; changes nothing')
    .option('--socket <path>', 'serve capture, flows, top and trace on this unix socket')
    .option('--web <address>', 'serve the web UI on this address and port, e.g. 127.0.0.1:8473', webAddress)
    .option('--web-token-file <file>', 'token file, needed when the address is not loopback')
    .addOption(new Option('--log-level <level>', 'least level to log').choices(LEVELS).default('info'))
    .addHelpText('after', '\nKeys of the file: docs/configuration.md')
    .action((options: RunOptions, command: Command) => run(options, command.parent?.version() ?? ''));
}

async function run(options: RunOptions, version: string): Promise<void> {
  const { readNodeConfig } = await import('../../../agent/node/config.ts');
  const config = readNodeConfig(options.config);
  if (options.check) {
    const { mode, peers, device } = config;
    process.stdout.write(
      `${options.config}: valid: ${mode} on ${device}, ${peers.length} peer${peers.length === 1 ? '' : 's'}\n`,
    );
    return;
  }
  const log = createLog(options.logLevel);
  logContained(log);
  // Taken before anything is made: a signal that comes early must not leave a half-made node.
  const ended = Promise.race([signalled(['SIGINT', 'SIGTERM']), uncaught(log)]);
  let node: OverlayNode | undefined;
  process.on('SIGHUP', () => {
    if (node) reload(node, options.config, log);
  });
  const { OverlayNode: Node } = await import('../../../agent/node/node.ts');
  const { NodeGuard } = await import('../../../agent/node/guard.ts');
  node = await Node.start(config, log);
  const guard = new NodeGuard(node, log);
  const endpoints = new Endpoints(log);
  const server = await lookedAt(node, options, version, endpoints, log).catch(async error => {
    guard.stop();
    await endpoints.close();
    await node?.stop();
    throw error;
  });
  logReady(node, log);
  const signal = await ended;
  log.info({ signal }, 'ending');
  guard.stop();
  await endpoints.close();
  server?.close();
  server?.closeAllConnections();
  await node.stop();
  logTotals(log, node.counters().verdicts);
}

/**
 * Opens the ways to look into the node that are wanted: the web UI, which is tried again until it opens, and the socket
 * that `ripstop capture --socket` and its like connect to.
 */
async function lookedAt(
  node: OverlayNode,
  { socket, web: wanted, webTokenFile = '' }: RunOptions,
  version: string,
  endpoints: Endpoints,
  log: Log,
): Promise<Server | undefined> {
  let web: WebServer | undefined;
  if (wanted) {
    const { WebServer } = await import('../../../api/web/server.ts');
    const { nodeSource } = await import('../../../api/web/source.ts');
    const { webToken } = await import('../../../api/web/access.ts');
    const token = webToken(wanted.address, webTokenFile);
    endpoints.open('web', `${wanted.address} port ${wanted.port}`, async () => {
      web = await WebServer.serve(nodeSource(node, hostname(), version), { ...wanted, token });
      // A terminal is a person's; a journal is no place for a token.
      if (process.stderr.isTTY) process.stderr.write(`web UI: ${web.link}\n`);
      return web;
    });
    if (!process.stderr.isTTY && socket === undefined && webTokenFile === '')
      log.warn("the web UI's token is only shown by `ripstop ui`: add --socket");
  }
  if (socket === undefined) return undefined;
  const { serveNode } = await import('../../../api/node-server.ts');
  return serveNode(socket, node, () => ({ link: web?.link ?? null }));
}

/** `127.0.0.1:8473`, `[::1]:8473`. */
function webAddress(text: string): Pick<WebOptions, 'address' | 'port' | 'hosts'> {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text);
  const address = match?.[1] ?? match?.[2] ?? '';
  const port = Number(match?.[3]);
  if (isIP(address) !== 0 && port <= 65535) return { address, port, hosts: [] };
  throw new InvalidArgumentError('It takes an address and a port: 127.0.0.1:8473, [::1]:8473.');
}

function logReady({ settled: { config, underlay, overlay } }: OverlayNode, log: Log): void {
  log.info(
    {
      ready: true,
      pid: process.pid,
      mode: config.mode,
      device: overlay.device,
      mtu: overlay.mtu,
      mac: overlay.mac,
      underlay: underlay.device,
      address: underlay.address,
      port: config.port,
      peers: config.peers.length,
    },
    'ready: packets can flow',
  );
}

/** Takes the peers of the file as it is now; a mistake in it changes nothing. */
async function reload(node: OverlayNode, path: string, log: Log): Promise<void> {
  try {
    if (path === '-') throw new RipstopError('ECONFIG', 'standard input cannot be read again', 'use a file');
    const { readNodeConfig } = await import('../../../agent/node/config.ts');
    const next = readNodeConfig(path);
    const pending = await node.reload(next);
    log.info({ peers: next.peers.length }, 'peers read again');
    if (pending.length > 0) log.warn({ keys: pending }, 'these keys changed and need a restart');
  } catch (error) {
    log.error({ err: describeError(error) }, 'the peers stay as they were');
  }
}

/** Resolves at the first uncaught error, which ends the process as SIGTERM does, with another exit code. */
function uncaught(log: Log): Promise<string> {
  return new Promise(resolve =>
    endWhenUncaught(
      (error, origin) =>
        log.fatal({ origin, stack: stackOf(error) }, `uncaught error, ending: ${describeError(error)}`),
      () => resolve('uncaught error'),
    ),
  );
}

/** The first of these signals. A second one ends the process at once. */
function signalled(signals: readonly NodeJS.Signals[]): Promise<string> {
  return new Promise(resolve => {
    for (const signal of signals) process.once(signal, () => resolve(signal));
  });
}

/** What was counted, without the zeros: the last line of a run. */
function logTotals(log: Log, verdicts: Readonly<Record<string, object>>): void {
  const counted = Object.entries(verdicts).filter(([, tally]) =>
    Object.values(tally).some(value => value > 0),
  );
  log.info({ verdicts: Object.fromEntries(counted) }, 'ended');
}
