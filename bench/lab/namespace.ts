import { existsSync, readdirSync } from 'node:fs';
import { attempt, type Finished, must } from './command.ts';
import { type LaunchOptions, launch, type Proc } from './proc.ts';

/*
 * Network namespaces named `rs-<pid>-<n>` after the process that made them. Whoever starts next can therefore tell
 * what a crash left behind (`removeStale`), and the process itself removes its own on every way out.
 */

const FOLDER = '/run/netns';
const PATTERN = /^rs-(\d+)-(\d+)$/;

const own = new Map<string, Namespace>();
const kept = new Set<string>();
let counter = 0;

export class Namespace {
  readonly name: string;

  private constructor(name: string) {
    this.name = name;
  }

  /** Makes an empty namespace with its loopback up. Takes CAP_SYS_ADMIN. */
  static create(): Namespace {
    onExit();
    do counter++;
    while (existsSync(`${FOLDER}/rs-${process.pid}-${counter}`));
    const ns = new Namespace(`rs-${process.pid}-${counter}`);
    must(['ip', 'netns', 'add', ns.name]);
    own.set(ns.name, ns);
    ns.ip('link set lo up');
    return ns;
  }

  /** Path that setns(2) opens, for configuration files and the addon. */
  get path(): string {
    return `${FOLDER}/${this.name}`;
  }

  /** Runs lines of iproute2 (`link add ...`, without the word `ip`) in one call; the first failing line ends it. */
  ip(...lines: string[]): string {
    return must(['ip', '-n', this.name, '-batch', '-'], `${lines.join('\n')}\n`);
  }

  /** Runs a short command inside, blocking; anything but exit code 0 is an error. */
  must(argv: readonly string[], input = ''): string {
    return must(this.argv(argv), input);
  }

  /** Runs a short command inside, blocking, and returns its output whatever its exit code. */
  attempt(argv: readonly string[], input = ''): Finished {
    return attempt(this.argv(argv), input);
  }

  /** Starts a long-running command inside; it is killed with this process at the latest. */
  launch(argv: readonly string[], options: LaunchOptions = {}): Proc {
    return launch(this.argv(argv), options);
  }

  /** Sets sysctls of this namespace, `net.ipv4.ip_forward=1`. */
  sysctl(...settings: string[]): void {
    this.must(['sysctl', '-qw', ...settings]);
  }

  /** The command line that runs `argv` inside; `ip netns exec` execs it, so the process keeps its pid. */
  argv(argv: readonly string[]): string[] {
    return ['ip', 'netns', 'exec', this.name, ...argv];
  }

  /** Ends what still runs inside and removes the namespace with its devices. Idempotent. */
  remove(): void {
    own.delete(this.name);
    kept.delete(this.name);
    removeByName(this.name);
  }

  /** Leaves the namespace standing when this process ends. */
  keep(): void {
    kept.add(this.name);
  }
}

function removeByName(name: string): void {
  if (!existsSync(`${FOLDER}/${name}`)) return;
  for (const pid of attempt(['ip', 'netns', 'pids', name]).stdout.split('\n').filter(Boolean))
    kill(Number(pid));
  attempt(['ip', 'netns', 'delete', name]);
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // it ended by itself
  }
}

function alive(pid: number): boolean {
  return existsSync(`/proc/${pid}`);
}

/**
 * Removes namespaces whose maker no longer runs.
 * @param maker only those of this pid, also while it runs (to end a demo that was kept standing)
 * @returns their names
 */
export function removeStale(maker?: number): string[] {
  const stale: string[] = [];
  for (const name of existsSync(FOLDER) ? readdirSync(FOLDER) : []) {
    const match = PATTERN.exec(name);
    if (match === null || (maker === undefined ? alive(Number(match[1])) : Number(match[1]) !== maker))
      continue;
    removeByName(name);
    stale.push(name);
  }
  return stale;
}

/** Removes every namespace this process made and did not keep. */
export function removeOwn(): void {
  for (const ns of [...own.values()]) if (!kept.has(ns.name)) ns.remove();
}

let armed = false;

/** Arms the clean-up for the normal end, an uncaught error and the signals that end a process. */
function onExit(): void {
  if (armed) return;
  armed = true;
  process.on('exit', removeOwn);
  for (const [signal, number] of [
    ['SIGINT', 2],
    ['SIGTERM', 15],
    ['SIGHUP', 1],
  ] as const) {
    process.on(signal, () => process.exit(128 + number));
  }
}
