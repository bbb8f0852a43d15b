import { rmSync, writeFileSync } from 'node:fs';
import { DEFAULT_DAEMON_SOCKET } from './config.ts';
import { DEFAULT_STATE_DIR, DhcpDaemon } from './daemon.ts';

const USAGE = `usage: dhcp daemon [--socketpath FILE] [--statedir DIRECTORY] [--pidfile FILE] [--timeout SECONDS]
  --socketpath  socket that the plugin connects to (${DEFAULT_DAEMON_SOCKET})
  --statedir    directory of the leases, which outlive the daemon (${DEFAULT_STATE_DIR})
  --pidfile     file to write the process id to
  --timeout     longest wait for an address, in seconds (10)
`;

/** Flags of the form `-name value`, `--name value` or `--name=value`, as Go programs take them. */
function parseFlags(args: readonly string[]): Map<string, string> | undefined {
  const flags = new Map<string, string>();
  for (let i = 0; i < args.length; i++) {
    const match = /^--?(socketpath|statedir|pidfile|timeout)(?:=(.*))?$/s.exec(args[i]!);
    if (!match) return undefined;
    const value = match[2] ?? args[++i];
    if (value === undefined) return undefined;
    flags.set(match[1]!, value);
  }
  return flags;
}

/** `dhcp daemon`: runs until SIGTERM or SIGINT. @returns the exit status */
export async function runDhcpDaemon(args: readonly string[]): Promise<number> {
  const flags = parseFlags(args);
  const seconds = Number((flags?.get('timeout') ?? '10').replace(/s$/, ''));
  if (!flags || !(seconds > 0)) {
    process.stderr.write(USAGE);
    return 2;
  }
  const daemon = new DhcpDaemon({
    socket: flags.get('socketpath') ?? DEFAULT_DAEMON_SOCKET,
    stateDir: flags.get('statedir') ?? DEFAULT_STATE_DIR,
    timeoutMs: seconds * 1000,
    log: line => void process.stderr.write(`${line}\n`),
    now: Date.now,
  });
  await daemon.start();
  const pidFile = flags.get('pidfile');
  if (pidFile) writeFileSync(pidFile, `${process.pid}\n`);
  process.stderr.write('dhcp daemon: ready\n');
  await new Promise<void>(resolve => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve());
  });
  await daemon.stop();
  if (pidFile) rmSync(pidFile, { force: true });
  return 0;
}
