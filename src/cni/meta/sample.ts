import { flag, text, withDefault } from '../../base/schema.ts';
import { passthroughObject, readIgnoringUnknown } from '../config/ignore-unknown.ts';
import { readPrevResult, validAttachments } from '../config/network.ts';
import type { Result } from '../result/types.ts';
import { CniError, CODE } from '../skel/errors.ts';
import type { Call, Plugin } from '../skel/plugin.ts';

/*
 * A plugin to begin a new one from: what it reads, what each command has to answer, and nothing more. Copy it, give it
 * another name, list it in plugins.ts, and put the work where the comments are.
 */

/** One table describes every key: reading, messages and documentation are made from it. */
const sampleFields = {
  myAwesomeFlag: withDefault(flag('a flag'), false),
  anotherAwesomeArg: withDefault(text('a text', 'a text that has to be given'), ''),
  runtimeConfig: passthroughObject(
    { sample: passthroughObject({}, 'what the runtime passes for capability "sample"') },
    'of the runtime',
  ),
};

/** @throws CniError 7 in the words of the reference plugin, which name the key */
function readConfig(call: Call) {
  const config = readIgnoringUnknown(sampleFields, call.config, '');
  if (config.anotherAwesomeArg === '')
    throw new CniError(CODE.INVALID_CONFIG, 'anotherAwesomeArg must be specified', 'it takes a text');
  return config;
}

/** A chained plugin works on the result of an earlier one and hands it on. */
async function add(call: Call): Promise<Result> {
  readConfig(call);
  const previous = readPrevResult(call);
  if (!previous) throw new CniError(CODE.INVALID_CONFIG, 'must be called as chained plugin');
  if (previous.ips.length === 0) throw new CniError(CODE.INTERNAL, 'got no container IPs');
  // Do the work here, and push the reverse of each step onto an Undo as soon as it has succeeded.
  return previous;
}

/** Has to succeed twice, on a half-made pod, and without a namespace; so it reads as little as it can. */
async function del(_call: Call): Promise<void> {}

/** Has to notice what has changed. Nothing is done here, so nothing can have. */
async function check(call: Call): Promise<void> {
  readConfig(call);
}

/** Has to remove what belongs to no valid attachment. */
async function gc(call: Call): Promise<void> {
  validAttachments(call);
}

/** Has to throw 50 while an ADD would fail. */
async function status(call: Call): Promise<void> {
  readConfig(call);
}

/** The smallest whole plugin. */
export const sample: Plugin = {
  name: 'sample',
  docs: { keys: sampleFields, differences: [] },
  add,
  del,
  check,
  gc,
  status,
};
