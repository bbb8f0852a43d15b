import type { Server } from 'node:http';
import { type Command, Option } from 'commander';
import type { OverlayNode } from '../agent/node/node.ts';
import { describeError, RipstopError } from '../base/errors.ts';
import { createLog, type Log } from '../base/log.ts';

const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'];

interface RunOptions {
  config: string;
  check?: true;
  logLevel: string;
  socket?: string;
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
    .addOption(new Option('--log-level <level>', 'least level to log').choices(LEVELS).default('info'))
    .addHelpText('after', '\nKeys of the file: docs/configuration.md')
    .action(run);
}

async function run(options: RunOptions): Promise<void> {
  const { readNodeConfig } = await import('../agent/node/config.ts');
  const config = readNodeConfig(options.config);
  if (options.check) {
    const { mode, peers, device } = config;
    process.stdout.write(
      `${options.config}: valid: ${mode} on ${device}, ${peers.length} peer${peers.length === 1 ? '' : 's'}\n`,
    );
    return;
  }
  const log = createLog(options.logLevel);
  // Taken before anything is made: a signal that comes early must not leave a half-made node.
  const ended = signalled(['SIGINT', 'SIGTERM']);
  let node: OverlayNode | undefined;
  process.on('SIGHUP', () => {
    if (node) reload(node, options.config, log);
  });
  const { OverlayNode: Node } = await import('../agent/node/node.ts');
  const { NodeGuard } = await import('../agent/node/guard.ts');
  node = await Node.start(config, log);
  const guard = new NodeGuard(node, log);
  const server = await nodeServer(node, options.socket).catch(async error => {
    guard.stop();
    await node?.stop();
    throw error;
  });
  logReady(node, log);
  const signal = await ended;
  log.info({ signal }, 'ending');
  guard.stop();
  server?.close();
  server?.closeAllConnections();
  await node.stop();
  logTotals(log, node.counters().verdicts);
}

/** What `ripstop capture --socket` and its like connect to, where one is wanted. */
async function nodeServer(node: OverlayNode, path: string | undefined): Promise<Server | undefined> {
  if (path === undefined) return undefined;
  const { serveNode } = await import('../agent/node-server.ts');
  return serveNode(path, node);
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
    const { readNodeConfig } = await import('../agent/node/config.ts');
    const next = readNodeConfig(path);
    const pending = await node.reload(next);
    log.info({ peers: next.peers.length }, 'peers read again');
    if (pending.length > 0) log.warn({ keys: pending }, 'these keys changed and need a restart');
  } catch (error) {
    log.error({ err: describeError(error) }, 'the peers stay as they were');
  }
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
