import { rmSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { reportContained } from '../../../base/boundary.ts';
import { endWhenUncaught, stackOf } from '../../../base/uncaught.ts';
import { DEFAULT_DAEMON_SOCKET } from './config.ts';
import { DEFAULT_STATE_DIR, DhcpDaemon } from './daemon.ts';

const USAGE = `Usage: ripstop cni dhcp-daemon [flags]

Runs the daemon of the dhcp plugin, with the flags of the reference daemon.
A time is a number with its unit (10s, 1m30s, 500ms) or seconds.

  --socketpath <path>     socket for the plugin; not used if systemd passes one
                          (default: ${DEFAULT_DAEMON_SOCKET})
  --statedir <path>       directory of the saved leases
                          (default: ${DEFAULT_STATE_DIR})
  --pidfile <path>        file to write the process id to (default: none)
  --hostprefix <path>     mount point of the host's root file system; prepended
                          to the paths of network namespaces (default: none)
  --broadcast             ask the servers to answer by broadcast
  --timeout <time>        maximum time to wait for the answer to one request
                          (default: 10s)
  --resendmax <time>      maximum time before a request is repeated
                          (default: 62s)
  --resendtimeout <time>  maximum time to wait for an address (default: 208s)
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
  if (args.some(word => /^--?h(elp)?$/.test(word))) {
    process.stdout.write(USAGE);
    return 0;
  }
  const flags = parseFlags(args);
  const duration = (name: 'timeout' | 'resendmax' | 'resendtimeout', fallback: string) =>
    durationMs(flags?.[name] ?? fallback);
  const limits = {
    requestMs: duration('timeout', '10s'),
    longestDelayMs: duration('resendmax', '62s'),
    wholeMs: duration('resendtimeout', '208s'),
  };
  if (!flags || !Object.values(limits).every(ms => ms > 0)) {
    process.stderr.write(USAGE);
    return 2;
  }
  const log = (line: string): void => void process.stderr.write(`${line}\n`);
  const { LISTEN_PID, LISTEN_FDS } = process.env;
  const daemon = new DhcpDaemon({
    socket: flags.socketpath ?? DEFAULT_DAEMON_SOCKET,
    ...(LISTEN_PID === String(process.pid) && LISTEN_FDS === '1' ? { fd: LISTEN_FD } : {}),
    stateDir: flags.statedir ?? DEFAULT_STATE_DIR,
    hostPrefix: flags.hostprefix ?? '',
    broadcast: flags.broadcast ?? false,
    limits,
    log,
    now: Date.now,
  });
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
  log('dhcp daemon: ready');
  await ended;
  await daemon.stop();
  if (pidFile) rmSync(pidFile, { force: true });
  return Number(process.exitCode ?? 0);
}
