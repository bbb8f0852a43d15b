import { spawn } from 'node:child_process';
import { closeSync, constants, openSync, unlinkSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { codeOf, hasCode, RipstopError } from '../base/errors.ts';

/** Output and exit code of a program. */
export interface CommandResult {
  readonly stdout: string;
  readonly stderr: string;
  /** Exit code, or 128 + the signal's number when it was killed. */
  readonly code: number;
}

interface CommandOptions {
  /** Path of the network namespace to run in; '' or absent for the caller's own. */
  netns?: string;
  /** Working directory of the program; by default that of this process. */
  cwd?: string;
  input?: string;
  /** The program is killed after this time. */
  timeoutMs?: number;
  /** Exit codes that are not a failure; only 0 when absent. */
  accept?: readonly number[];
  /** Variables besides PATH and LC_ALL=C; no others of this process are passed. */
  env?: Readonly<Record<string, string>>;
}

/** PATH of a process that has none. */
export const SEARCH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const TIMEOUT_MS = 30_000;
/** Bytes of output kept; a rule set of a node with thousands of services is a few megabytes. */
const OUTPUT_MAX = 64 << 20;

/**
 * Runs a program, without a shell, inside a namespace (through nsenter of util-linux).
 * @throws RipstopError ENOENT when the program is not installed, ETIMEDOUT, ECOMMAND when its exit code is not accepted
 */
export function runCommand(
  program: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  const inside = options.netns ? ['nsenter', `--net=${options.netns}`, '--', program] : [program];
  const [file, ...rest] = [...inside, ...args] as [string, ...string[]];
  const timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
  const input = options.input === undefined ? undefined : inputFile(options.input);
  return new Promise((resolve, reject) => {
    const child = spawn(file, rest, {
      cwd: options.cwd,
      env: { PATH: process.env.PATH ?? SEARCH, LC_ALL: 'C', ...options.env },
      stdio: [input ?? 'ignore', 'pipe', 'pipe'],
    });
    if (input !== undefined) closeSync(input);
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      child.kill('SIGKILL');
    }, timeoutMs);
    const out = gather(child.stdout);
    const err = gather(child.stderr);
    child.on('error', error => {
      clearTimeout(timer);
      reject(startFailure(file, error));
    });
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      const result = { stdout: out(), stderr: err(), code: code ?? 128 + (signal === 'SIGKILL' ? 9 : 15) };
      if (late) reject(new RipstopError('ETIMEDOUT', `${program}: not finished after ${timeoutMs} ms`));
      else if ((options.accept ?? [0]).includes(result.code)) resolve(result);
      else reject(commandFailure(program, args, result));
    });
  });
}

let inputs = 0;
/** fcntl.h: a file without a name, of which a killed process leaves nothing. */
const O_TMPFILE = 0o20000000 | constants.O_DIRECTORY;

/**
 * Descriptor of a nameless file that holds `text`, at its start. Node's pipes are sockets, and a program that opens
 * /dev/stdin, as `nft -f -` does, cannot open a socket.
 */
function inputFile(text: string): number {
  let trouble: unknown;
  for (const folder of ['/run', '/dev/shm', tmpdir()]) {
    try {
      const fd = openNameless(folder);
      const bytes = Buffer.from(text);
      // Written at a position, so that the descriptor's own offset stays at the start.
      for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at, bytes.length - at, at);
      return fd;
    } catch (error) {
      trouble = error;
    }
  }
  const what = 'no folder for the input of a program: /run, /dev/shm and TMPDIR refuse files';
  throw new RipstopError('EIO', what, undefined, { cause: trouble });
}

function openNameless(folder: string): number {
  try {
    return openSync(folder, O_TMPFILE | constants.O_RDWR, 0o600);
  } catch (error) {
    // A file system without such files (NFS, some overlays) refuses in one of these ways.
    if (!hasCode(error, 'EOPNOTSUPP', 'EISDIR', 'EINVAL')) throw error;
  }
  const path = `${folder}/.ripstop-input-${process.pid}-${++inputs}`;
  const fd = openSync(path, 'wx+', 0o600);
  unlinkSync(path);
  return fd;
}

function gather(stream: NodeJS.ReadableStream | null): () => string {
  const chunks: Buffer[] = [];
  let size = 0;
  stream?.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size <= OUTPUT_MAX) chunks.push(chunk);
  });
  return () => Buffer.concat(chunks).toString('utf8');
}

/** The error for a program that cannot be found. */
export function notInstalled(program: string, cause?: unknown): RipstopError {
  const hint = `install the package that brings ${program}`;
  return new RipstopError('ENOENT', `${program}: is not installed`, hint, { cause });
}

function startFailure(file: string, cause: Error): RipstopError {
  if (hasCode(cause, 'ENOENT')) return notInstalled(file, cause);
  const what = `${file}: cannot be started (${codeOf(cause)})`;
  return new RipstopError(codeOf(cause, 'ECOMMAND'), what, undefined, { cause });
}

function commandFailure(program: string, args: readonly string[], result: CommandResult): RipstopError {
  const words = result.stderr.trim() || result.stdout.trim() || `exit code ${result.code}`;
  if (/^nsenter: failed to execute/.test(words)) return notInstalled(program);
  const [first] = words.split('\n');
  return new RipstopError('ECOMMAND', `${[program, ...args].join(' ')}: ${first}`);
}
