import { spawn } from 'node:child_process';
import { hasCode } from '../../base/errors.ts';
import { parseJson } from '../../base/schema.ts';
import { decodeError } from '../result/decode.ts';
import type { Environment } from '../skel/environment.ts';
import { CniError, CODE } from '../skel/errors.ts';

/** A plugin being replaced on disk cannot be started for a moment; the Go library waits as long. */
const BUSY_TRIES = 5;
const BUSY_WAIT_MS = 1000;
/** Longest time for one plugin, ms: below the limit of the executable for an ADD (240 s). */
const LIMIT_MS = 230_000;

/**
 * Runs a foreign plugin with `env` and `stdin`; its standard error goes to `log`.
 * @param cwd working directory of the runtime; `/` where this process does not see it
 * @returns its standard output
 * @param limitMs after this time it is killed
 * @throws the plugin's own error with code, msg and details untouched, or CniError 999
 */
export async function execPlugin(
  file: string,
  cwd: string,
  env: Environment,
  stdin: string,
  log: (text: string) => void,
  limitMs = LIMIT_MS,
): Promise<string> {
  const once = () =>
    new Promise<string>((resolve, reject) => {
      const child = spawn(file, [], { cwd, env, stdio: ['pipe', 'pipe', 'pipe'] });
      const timer = setTimeout(() => {
        child.kill('SIGKILL');
        // Not when its output ends: a process that it has started may keep that open.
        for (const stream of [child.stdin, child.stdout, child.stderr]) stream.destroy();
        reject(new CniError(CODE.INTERNAL, `${file}: not finished after ${limitMs / 1000} s, killed`));
      }, limitMs);
      let stdout = '';
      let stderr = '';
      child.stdout.setEncoding('utf8').on('data', chunk => {
        stdout += chunk;
      });
      child.stderr.setEncoding('utf8').on('data', chunk => {
        stderr += chunk;
        log(String(chunk).trimEnd());
      });
      child.on('error', (error: NodeJS.ErrnoException) => {
        clearTimeout(timer);
        const failed =
          error.code === 'ETXTBSY' ? error : new CniError(CODE.INTERNAL, `${file}: ${error.message}`);
        reject(failed);
      });
      child.on('close', (status, signal) => {
        clearTimeout(timer);
        if (status === 0) resolve(stdout);
        else
          reject(pluginError(file, stdout, stderr, signal ? `killed by ${signal}` : `exit status ${status}`));
      });
      // A plugin that fails early closes its input. Its error object has the reason, the broken pipe has not.
      child.stdin.on('error', () => {});
      child.stdin.end(stdin);
    });
  for (let attempt = 1; ; attempt++) {
    try {
      return await once();
    } catch (error) {
      if (!hasCode(error, 'ETXTBSY') || attempt === BUSY_TRIES) throw error;
      await new Promise(wake => setTimeout(wake, BUSY_WAIT_MS));
    }
  }
}

/** The error object of a plugin that failed, or a description when it printed none. */
function pluginError(file: string, stdout: string, stderr: string, status: string): CniError {
  const name = file.slice(file.lastIndexOf('/') + 1);
  if (stdout.trim() === '') {
    const said = stderr.trim();
    return new CniError(
      CODE.INTERNAL,
      `netplugin failed with no error message: ${name}: ${status}${said ? `: ${said}` : ''}`,
    );
  }
  try {
    return decodeError(parseJson(stdout, name), name, status);
  } catch {
    return new CniError(
      CODE.INTERNAL,
      `netplugin failed but its output is not a CNI error object: ${name}: ${status}: ${stdout.trim()}`,
    );
  }
}
