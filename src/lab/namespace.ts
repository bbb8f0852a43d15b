import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { attempt, type Finished, must } from './command.ts';
import { type LaunchOptions, launch, type Proc } from './proc.ts';

/*
 * Network namespaces named `rs-<pid>-<n>` after the process that made them. The next process can therefore find
 * what a crash left behind (`removeStale`), and the process itself removes its own on every way out.
 */

const FOLDER = '/run/netns';
const PATTERN = /^rs-(\d+)-(\d+)$/;

const own = new Map<string, Namespace>();
let counter = 0;

export class Namespace {
  readonly name: string;

  private constructor(name: string) {
    this.name = name;
  }

  /**
   * Makes an empty namespace with its loopback up. Takes CAP_SYS_ADMIN.
   *
   * Sockets begin with reno, which every namespace may use: one that began with BBR keeps BBR's pacing timers when it is
   * switched to cubic, and their interrupts then cost more than the packets (docs/decisions/0044-no-pacing-timers.md).
   */
  static create(): Namespace {
    onExit();
    do counter++;
    while (existsSync(`${FOLDER}/rs-${process.pid}-${counter}`));
    const ns = new Namespace(`rs-${process.pid}-${counter}`);
    must(['ip', 'netns', 'add', ns.name]);
    own.set(ns.name, ns);
    ns.ip('link set lo up');
    ns.sysctl('net.ipv4.tcp_congestion_control=reno');
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
    removeByName(this.name);
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

/** Names a maker whose namespaces are to stay although it has ended. */
const KEPT = '/run/ripstop-kept';
const SCRATCH = /^rs-(\d+)$/;

/** Folder for files that live as long as this process' namespaces; made on first use. */
export function scratch(): string {
  onExit();
  const folder = `/tmp/rs-${process.pid}`;
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  return folder;
}

/** Leaves the namespaces and files of this process standing when it ends, until `removeKept`. */
export function keepOwn(): void {
  mkdirSync(KEPT, { recursive: true });
  writeFileSync(`${KEPT}/${process.pid}`, '');
  keeping = true;
}

/** Removes what `keepOwn` left standing, of every process that has ended. @returns names of the namespaces */
export function removeKept(): string[] {
  for (const pid of list(KEPT)) if (!running(Number(pid))) rmSync(`${KEPT}/${pid}`, { force: true });
  return removeStale();
}

/**
 * Removes namespaces and files whose maker no longer runs and did not keep them. They belong to root, so that another user
 * removes none of them.
 * @returns names of the namespaces
 */
export function removeStale(): string[] {
  if (process.geteuid?.() !== 0) return [];
  const kept = new Set(list(KEPT));
  const abandoned = (maker: string | undefined) =>
    maker !== undefined && !kept.has(maker) && !running(Number(maker));
  const names = list(FOLDER).filter(name => abandoned(PATTERN.exec(name)?.[1]));
  names.forEach(removeByName);
  for (const name of list('/tmp')) {
    if (abandoned(SCRATCH.exec(name)?.[1])) rmSync(`/tmp/${name}`, { recursive: true, force: true });
  }
  return names;
}

function list(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder) : [];
}

function running(pid: number): boolean {
  return existsSync(`/proc/${pid}`);
}

/** Removes every namespace and file of this process, unless it keeps them. */
export function removeOwn(): void {
  if (keeping) return;
  for (const ns of [...own.values()]) ns.remove();
  rmSync(`/tmp/rs-${process.pid}`, { recursive: true, force: true });
}

let armed = false;
let keeping = false;
let areSignalsTaken = false;

/**
 * Leaves the signals that end a process to the caller, which then ends in its own way; the second one ends it at once.
 * @returns what the first signal aborts, with its name as the reason
 */
export function takeSignals(): AbortController {
  const stop = new AbortController();
  onExit();
  areSignalsTaken = true;
  for (const signal of SIGNALS) process.once(signal, () => stop.abort(signal));
  return stop;
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Arms the clean-up for the normal end, an uncaught error and the signals that end a process. */
function onExit(): void {
  if (armed) return;
  armed = true;
  process.on('exit', removeOwn);
  for (const signal of SIGNALS)
    process.on(signal, () => {
      if (areSignalsTaken) areSignalsTaken = false;
      else process.exit(128 + constants.signals[signal]);
    });
}
