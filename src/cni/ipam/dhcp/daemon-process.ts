import { rmSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { reportContained } from '../../../base/boundary.ts';
import { endWhenUncaught, stackOf } from '../../../base/uncaught.ts';
import { DEFAULT_DAEMON_SOCKET } from './config.ts';
import { DEFAULT_STATE_DIR, DhcpDaemon } from './daemon.ts';

const USAGE = `usage: dhcp daemon [--socketpath FILE] [--statedir DIRECTORY] [--pidfile FILE] [--hostprefix DIRECTORY]
                   [--broadcast] [--timeout TIME] [--resendmax TIME] [--resendtimeout TIME]
  --socketpath     socket that the plugin connects to (${DEFAULT_DAEMON_SOCKET}); not used when systemd hands one in
  --statedir       directory in which leases are kept across restarts (${DEFAULT_STATE_DIR})
  --pidfile        file to write the process id to
  --hostprefix     mount point of the node's root file system, prepended to the paths of namespaces
  --broadcast      ask the servers to answer by broadcast
  --timeout        longest wait for an address (10s)
  --resendmax      longest wait before a request is repeated (62s)
  --resendtimeout  accepted for compatibility and ignored: --timeout limits the whole wait
`;

const value = { type: 'string' } as const;
const OPTIONS = {
  socketpath: value,
  statedir: value,
  pidfile: value,
  hostprefix: value,
  timeout: value,
  resendmax: value,
  resendtimeout: value,
  broadcast: { type: 'boolean' },
} as const;
/** First descriptor that systemd hands in (sd_listen_fds(3)). */
const LISTEN_FD = 3;

/** Flags as Go programs accept them: with one dash or two, and `--broadcast=false`. @returns undefined for other words */
export function parseFlags(args: readonly string[]) {
  const words = args
    .map(word => word.replace(/^-(?=[a-z])/, '--').replace(/^(--broadcast)=true$/, '$1'))
    .filter(word => word !== '--broadcast=false');
  try {
    return parseArgs({ args: words, options: OPTIONS }).values;
  } catch {
    return undefined;
  }
}

const UNITS_MS: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1000, ms: 1 };

/** Milliseconds of a duration as Go writes it (`1m30s`, `500ms`), or of bare seconds; NaN for anything else. */
export function durationMs(text: string): number {
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text) * 1000;
  if (!/^(\d+(\.\d+)?(h|ms|m|s))+$/.test(text)) return Number.NaN;
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(h|ms|m|s)/g)];
  return parts.reduce((sum, [, count, unit = '']) => sum + Number(count) * (UNITS_MS[unit] ?? Number.NaN), 0);
}

/** `dhcp daemon`: runs until SIGTERM or SIGINT. @returns the exit status */
export async function runDhcpDaemon(args: readonly string[]): Promise<number> {
  const flags = parseFlags(args);
  const duration = (name: 'timeout' | 'resendmax' | 'resendtimeout', fallback: string) =>
    durationMs(flags?.[name] ?? fallback);
  const timeoutMs = duration('timeout', '10s');
  const longestWaitMs = duration('resendmax', '62s');
  if (!flags || !(timeoutMs > 0) || !(longestWaitMs > 0) || !(duration('resendtimeout', '208s') > 0)) {
    process.stderr.write(USAGE);
    return 2;
  }
  const { LISTEN_PID, LISTEN_FDS } = process.env;
  const daemon = new DhcpDaemon({
    socket: flags.socketpath ?? DEFAULT_DAEMON_SOCKET,
    ...(LISTEN_PID === String(process.pid) && LISTEN_FDS === '1' ? { fd: LISTEN_FD } : {}),
    stateDir: flags.statedir ?? DEFAULT_STATE_DIR,
    hostPrefix: flags.hostprefix ?? '',
    broadcast: flags.broadcast ?? false,
    timeoutMs,
    longestWaitMs,
    log: line => void process.stderr.write(`${line}\n`),
    now: Date.now,
  });
  const log = (line: string): void => void process.stderr.write(`${line}\n`);
  // A closed standard error must not end the daemon.
  process.stderr.on('error', () => {});
  reportContained((part, error, count) => {
    if (count === 1) log(`${part}: error contained: ${stackOf(error)}`);
  });
  const ended = new Promise<void>(resolve => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve());
    endWhenUncaught(error => log(`dhcp daemon: uncaught error, ending: ${stackOf(error)}`), resolve);
  });
  await daemon.start();
  const pidFile = flags.pidfile;
  if (pidFile) writeFileSync(pidFile, `${process.pid}\n`);
  process.stderr.write('dhcp daemon: ready\n');
  await ended;
  await daemon.stop();
  if (pidFile) rmSync(pidFile, { force: true });
  return Number(process.exitCode ?? 0);
}
