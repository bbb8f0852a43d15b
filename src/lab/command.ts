import { spawnSync } from 'node:child_process';
import { RipstopError } from '../base/errors.ts';

export interface Finished {
  /** Exit code, or 128 + n for a process that signal n ended. */
  code: number;
  stdout: string;
  stderr: string;
}

/**
 * Runs a short command to its end, blocking: for set-up steps of a few milliseconds.
 * @param argv command and arguments, no shell
 * @param input text for its standard input
 * @returns its output, whatever its exit code
 */
export function attempt(argv: readonly string[], input = '', timeoutMs = 30_000): Finished {
  const [command, ...args] = argv;
  const options = { input, encoding: 'utf8', timeout: timeoutMs, maxBuffer: 64 << 20 } as const;
  const result = spawnSync(command!, args, options);
  if (result.error) throw new RipstopError('ECOMMAND', `${argv.join(' ')}: ${result.error.message}`);
  return { code: result.status ?? 128, stdout: result.stdout, stderr: result.stderr };
}

/** As `attempt`, and anything but exit code 0 is an error that quotes the command and what it said. */
export function must(argv: readonly string[], input = ''): string {
  const { code, stdout, stderr } = attempt(argv, input);
  if (code === 0) return stdout;
  const said = (stderr || stdout).trim();
  throw new RipstopError(
    'ECOMMAND',
    `${argv.join(' ')}${input ? ' <<<' : ''} failed (${code}): ${said}`,
    input || undefined,
  );
}
