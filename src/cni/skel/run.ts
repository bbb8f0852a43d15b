import { contain } from '../../base/boundary.ts';
import { messageOf } from '../../base/errors.ts';
import { encodeResult } from '../result/encode.ts';
import type { Environment } from './environment.ts';
import { CniError, CODE, encodeError, toCniError } from './errors.ts';
import { execute, parseInput } from './execute.ts';
import type { Host, Plugin } from './plugin.ts';
import { reportPods } from './report-pods.ts';
import { ALL_VERSIONS, CURRENT_VERSION } from './version.ts';

/** The process around a plugin, all of it injected: the whole protocol is tested without one. */
export interface Streams {
  env: Environment;
  /** Reads standard input to its end. */
  stdin(): Promise<string> | string;
  stdout(text: string): void;
  stderr(text: string): void;
}

/**
 * One invocation of a plugin's executable, from environment and standard input to standard output.
 * @returns the exit status: 0, or 1 after an error object on standard output
 */
export async function run(plugin: Plugin, streams: Streams, host: Host): Promise<number> {
  const { env } = streams;
  if (!env.CNI_COMMAND) {
    // Started without a runtime: the specification does not cover this; the Go library prints the same.
    streams.stderr(
      `CNI ${plugin.name} plugin of Ripstop\nCNI protocol versions supported: ${ALL_VERSIONS.join(', ')}\n`,
    );
    return 0;
  }
  let version: string = CURRENT_VERSION;
  try {
    if (env.CNI_COMMAND === 'VERSION') {
      streams.stdout(print({ cniVersion: CURRENT_VERSION, supportedVersions: ALL_VERSIONS }));
      return 0;
    }
    const input = parseInput(await readAll(streams));
    version = versionOfErrors(input.config.cniVersion);
    const { call, result } = await execute(plugin, env, input, host);
    const pods = host.agent?.pods;
    // Names are for people: an error with them does not fail the call.
    if (pods) contain('cni', () => reportPods(pods, call, result));
    if (result) streams.stdout(print(encodeResult(result, call.version)));
    return 0;
  } catch (error) {
    streams.stdout(print(encodeError(toCniError(error), version)));
    return 1;
  }
}

async function readAll(streams: Streams): Promise<string> {
  try {
    return await streams.stdin();
  } catch (error) {
    throw new CniError(CODE.IO_FAILURE, `error reading from stdin: ${messageOf(error)}`);
  }
}

/** The version that an error object carries: the configuration's where that is a released one, else our newest. */
function versionOfErrors(named: unknown): string {
  return ALL_VERSIONS.find(version => version === named) ?? CURRENT_VERSION;
}

function print(value: unknown): string {
  return `${JSON.stringify(value, null, 4)}\n`;
}
