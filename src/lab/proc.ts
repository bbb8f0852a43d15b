import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { type ErrorCode, RipstopError } from '../base/errors.ts';
import { PATIENCE_MS } from './until.ts';

export interface LaunchOptions {
  env?: Record<string, string>;
  cwd?: string;
  /** Written to its standard input, which is then closed. */
  input?: string;
  /** Its standard input stays open until `endInput`. */
  opensInput?: boolean;
  /** File that takes its output instead, in a session of its own, so that it can outlive this process (`release`). */
  log?: string;
}

export interface Ended {
  /** Exit code; null when a signal ended it. */
  code: number | null;
  signal: NodeJS.Signals | null;
}

/** Output beyond this is cut at its head: the end of a log says what went wrong. */
const KEEP_CHARS = 4 << 20;

const running = new Set<Proc>();
let armed = false;

/** A child process whose output is collected and that never outlives this one. */
export class Proc {
  readonly argv: readonly string[];
  readonly pid: number;
  readonly ended: Promise<Ended>;
  stdout = '';
  stderr = '';
  /** Set when the process has ended and its output is complete. */
  result: Ended | undefined;
  readonly #child: ChildProcess;
  #wake: (() => void)[] = [];

  constructor(argv: readonly string[], child: ChildProcess) {
    this.argv = argv;
    this.pid = child.pid ?? -1;
    this.#child = child;
    running.add(this);
    child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
      this.stdout = (this.stdout + chunk).slice(-KEEP_CHARS);
      this.#notify();
    });
    child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
      this.stderr = (this.stderr + chunk).slice(-KEEP_CHARS);
      this.#notify();
    });
    this.ended = new Promise(resolve => {
      const end = (code: number | null, signal: NodeJS.Signals | null) => {
        running.delete(this);
        this.result ??= { code, signal };
        this.#notify();
        resolve(this.result);
      };
      child.once('close', end);
      child.once('error', error => {
        this.stderr += `${error.message}\n`;
        end(127, null);
      });
    });
  }

  #notify(): void {
    const wake = this.#wake;
    this.#wake = [];
    for (const resume of wake) resume();
  }

  /** Lets it outlive this process. */
  release(): void {
    running.delete(this);
    this.#child.unref();
  }

  endInput(): void {
    this.#child.stdin?.end();
  }

  /** Sends a signal; a process that has already ended is not an error. */
  kill(signal: NodeJS.Signals = 'SIGTERM'): void {
    if (this.result === undefined) this.#child.kill(signal);
  }

  /**
   * Waits until its output (stdout then stderr) matches.
   * @throws RipstopError ETIMEDOUT or ECHILD, with the tail of what it said
   */
  async saying(pattern: RegExp, timeoutMs = PATIENCE_MS): Promise<RegExpExecArray> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const match = pattern.exec(this.stdout) ?? pattern.exec(this.stderr);
      if (match !== null) return match;
      if (this.result !== undefined) throw this.failure('ECHILD', `ended before it said ${pattern}`);
      const left = deadline - performance.now();
      if (left <= 0) throw this.failure('ETIMEDOUT', `did not say ${pattern} within ${timeoutMs} ms`);
      await this.#change(left);
    }
  }

  #change(timeoutMs: number): Promise<void> {
    return new Promise(resolve => {
      const timer = setTimeout(resolve, timeoutMs);
      this.#wake.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  /**
   * Waits for its end; one that is late is killed.
   * @returns its standard output
   * @throws RipstopError when it is late or its exit code is not 0
   */
  async success(timeoutMs = 2 * PATIENCE_MS): Promise<string> {
    const ended = await this.#within(timeoutMs);
    if (ended === undefined) {
      await this.stop('SIGKILL');
      throw this.failure('ETIMEDOUT', `still ran after ${timeoutMs} ms`);
    }
    if (ended.code !== 0) throw this.failure('ECHILD', `ended with ${ended.signal ?? `code ${ended.code}`}`);
    return this.stdout;
  }

  /** Ends it: `signal`, then SIGKILL when that has no effect within `timeoutMs`. */
  async stop(signal: NodeJS.Signals = 'SIGTERM', timeoutMs = PATIENCE_MS / 2): Promise<Ended> {
    this.kill(signal);
    if ((await this.#within(timeoutMs)) === undefined) this.kill('SIGKILL');
    return this.ended;
  }

  async #within(timeoutMs: number): Promise<Ended | undefined> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<undefined>(resolve => {
      timer = setTimeout(resolve, timeoutMs, undefined);
    });
    const first = await Promise.race([this.ended, late]);
    clearTimeout(timer);
    return first;
  }

  /** An error that names the command, what is wrong, and the last lines it said. */
  failure(code: ErrorCode, what: string): RipstopError {
    const tail = `${this.stdout.trim()}\n${this.stderr.trim()}`.trim().split('\n').slice(-8).join('\n  ');
    return new RipstopError(code, `${this.argv.join(' ')}: ${what}${tail ? `\n  ${tail}` : ''}`);
  }
}

/** Starts `argv` (no shell). It is killed by pid when this process exits. */
export function launch(argv: readonly string[], options: LaunchOptions = {}): Proc {
  if (!armed) {
    armed = true;
    process.on('exit', () => {
      for (const proc of running) proc.kill('SIGKILL');
    });
  }
  const [command, ...args] = argv;
  const output = options.log === undefined ? 'pipe' : openSync(options.log, 'a');
  const child = spawn(command!, args, {
    stdio: [options.input === undefined && !options.opensInput ? 'ignore' : 'pipe', output, output],
    env: { ...process.env, ...options.env },
    detached: options.log !== undefined,
    ...(options.cwd ? { cwd: options.cwd } : {}),
  });
  if (typeof output === 'number') closeSync(output);
  if (options.input !== undefined) child.stdin!.on('error', () => {}).end(options.input);
  return new Proc(argv, child);
}
