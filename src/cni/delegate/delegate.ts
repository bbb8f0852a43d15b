import { messageOf } from '../../base/errors.ts';
import { parseJson } from '../../base/schema.ts';
import { decodeResult } from '../result/decode.ts';
import type { Result } from '../result/types.ts';
import { type Command, visibleCwd } from '../skel/environment.ts';
import { CniError, CODE } from '../skel/errors.ts';
import { perform, type Request } from '../skel/execute.ts';
import type { Call } from '../skel/plugin.ts';
import { execPlugin } from './exec.ts';
import { findPlugin, isRipstopPlugin, lookForPlugin } from './find.ts';

type Json = Record<string, unknown>;

/**
 * Delegates a command to another plugin (specification 1.1, section 4): same environment but for CNI_COMMAND, the
 * given configuration. CNI_PATH decides which executable it is; when that is one of ours it runs in
 * this process, otherwise it is started. The agent, which in a container does not see the runtime's directories, takes
 * its own plugin where none is found. A delegate's error comes back with its own code.
 * @returns the result of ADD, undefined for the others
 */
async function hand(call: Call, type: string, command: Command, config: Json): Promise<Result | undefined> {
  const env = { ...call.env, CNI_COMMAND: command };
  const configText = config === call.config ? call.configText : () => JSON.stringify(config);
  const request: Request = { ...call, command, env, config, configText };
  const blind = call.host.agent && call.path.length > 0 && !lookForPlugin(type, call.path);
  const composed = call.host.inProcess || blind ? await call.host.own(type) : undefined;
  if (composed) return perform(composed, request);
  const file = findPlugin(type, call.path);
  const own = isRipstopPlugin(file) ? await call.host.own(type) : undefined;
  if (own) return perform(own, request);
  const stdout = await execPlugin(file, visibleCwd(call), env, configText(), call.host.log);
  return command === 'ADD' ? parseResult(stdout, call, type) : undefined;
}

function parseResult(stdout: string, call: Call, type: string): Result {
  let parsed: unknown;
  try {
    parsed = parseJson(stdout, `result of ${type}`);
  } catch (error) {
    throw new CniError(CODE.DECODE_FAILURE, messageOf(error));
  }
  return decodeResult(parsed, call.version, `result of ${type}`);
}

/** ADD by a delegate. `config` is its configuration, by default our own, whole. */
export async function delegateAdd(call: Call, type: string, config = call.config): Promise<Result> {
  const result = await hand(call, type, 'ADD', config);
  if (!result) throw new CniError(CODE.INTERNAL, `${type} returned no result for ADD`);
  return result;
}

/** DEL, CHECK, GC or STATUS by a delegate. */
export async function delegate(
  call: Call,
  type: string,
  command: Exclude<Command, 'ADD'>,
  config = call.config,
): Promise<void> {
  await hand(call, type, command, config);
}
