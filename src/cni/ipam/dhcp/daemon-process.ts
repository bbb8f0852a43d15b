import { rmSync, writeFileSync } from 'node:fs';
import { reportContained } from '../../../base/boundary.ts';
import { endWhenUncaught, stackOf } from '../../../base/uncaught.ts';
import { DEFAULT_DAEMON_SOCKET } from './config.ts';
import { DEFAULT_STATE_DIR, DhcpDaemon } from './daemon.ts';

const USAGE = `usage: dhcp daemon [--socketpath FILE] [--statedir DIRECTORY] [--pidfile FILE] [--hostprefix DIRECTORY]
                   [--broadcast] [--timeout TIME] [--resendmax TIME] [--resendtimeout TIME]
  --socketpath     socket that the plugin connects to (${DEFAULT_DAEMON_SOCKET}); not used when systemd hands one in
  --statedir       directory of the leases, which outlive the daemon (${DEFAULT_STATE_DIR})
  --pidfile        file to write the process id to
  --hostprefix     directory that the node's root is mounted on, put before the paths of namespaces
  --broadcast      ask the servers to answer by broadcast
  --timeout        longest wait for an address (10s)
  --resendmax      longest wait before it is asked for again (62s)
  --resendtimeout  taken for the sake of the reference daemon's callers: --timeout is the whole wait
`;

const VALUES = /^--?(socketpath|statedir|pidfile|hostprefix|timeout|resendmax|resendtimeout)(?:=(.*))?$/s;
/** First descriptor that systemd hands in (sd_listen_fds(3)). */
const LISTEN_FD = 3;

/** Flags of the form `-name value`, `--name value` or `--name=value`, as Go programs take them. */
export function parseFlags(args: readonly string[]): Map<string, string> | undefined {
  const flags = new Map<string, string>();
  const words = args.values();
  for (const word of words) {
    const [, isSet, setting] = /^--?(broadcast)(?:=(true|false))?$/.exec(word) ?? [];
    if (isSet) {
      flags.set(isSet, setting ?? 'true');
      continue;
    }
    const [, name, given] = VALUES.exec(word) ?? [];
    const value = name === undefined ? undefined : (given ?? words.next().value);
    if (name === undefined || value === undefined) return undefined;
    flags.set(name, value);
  }
  return flags;
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
  const duration = (name: string, fallback: string) => durationMs(flags?.get(name) ?? fallback);
  const timeoutMs = duration('timeout', '10s');
  const longestWaitMs = duration('resendmax', '62s');
  if (!flags || !(timeoutMs > 0) || !(longestWaitMs > 0) || !(duration('resendtimeout', '208s') > 0)) {
    process.stderr.write(USAGE);
    return 2;
  }
  const { LISTEN_PID, LISTEN_FDS } = process.env;
  const daemon = new DhcpDaemon({
    socket: flags.get('socketpath') ?? DEFAULT_DAEMON_SOCKET,
    ...(LISTEN_PID === String(process.pid) && LISTEN_FDS === '1' ? { fd: LISTEN_FD } : {}),
    stateDir: flags.get('statedir') ?? DEFAULT_STATE_DIR,
    hostPrefix: flags.get('hostprefix') ?? '',
    broadcast: flags.get('broadcast') === 'true',
    timeoutMs,
    longestWaitMs,
    log: line => void process.stderr.write(`${line}\n`),
    now: Date.now,
  });
  const log = (line: string): void => void process.stderr.write(`${line}\n`);
  // A reader of the log that has gone must not end the daemon.
  process.stderr.on('error', () => {});
  reportContained((part, error, count) => {
    if (count === 1) log(`${part}: error contained: ${stackOf(error)}`);
  });
  const ended = new Promise<void>(resolve => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve());
    endWhenUncaught(error => log(`dhcp daemon: uncaught error, ending: ${stackOf(error)}`), resolve);
  });
  await daemon.start();
  const pidFile = flags.get('pidfile');
  if (pidFile) writeFileSync(pidFile, `${process.pid}\n`);
  process.stderr.write('dhcp daemon: ready\n');
  await ended;
  await daemon.stop();
  if (pidFile) rmSync(pidFile, { force: true });
  return Number(process.exitCode ?? 0);
}
