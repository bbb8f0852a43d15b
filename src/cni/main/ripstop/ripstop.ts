import { requirePrevResult, validAttachments } from '../../config/network.ts';
import { runAll } from '../../link/netlink-pair.ts';
import { readSubnetEnv } from '../../meta/flannel/subnet-env.ts';
import { encodeResult } from '../../result/encode.ts';
import type { Result } from '../../result/types.ts';
import type { Command } from '../../skel/environment.ts';
import { CniError, CODE, toCniError } from '../../skel/errors.ts';
import { perform } from '../../skel/execute.ts';
import type { Call, Plugin } from '../../skel/plugin.ts';
import { Undo } from '../../skel/undo.ts';
import { readConfig, readForDeletion, ripstopKeys } from './config.ts';

type Json = Record<string, unknown>;

/** Only the agent wires pods: it knows the overlay's MTU and that the overlay is up. */
function requireAgent(call: Call): void {
  if (call.host.agent) return;
  throw new CniError(
    CODE.TRY_AGAIN_LATER,
    'the Ripstop agent of this node does not answer',
    'start it (ripstop agent); existing pods are not affected',
  );
}

/** One of the plugins that this one is made of; address management included, no executable is looked for. */
async function part(call: Call, command: Command, config: Json): Promise<Result | undefined> {
  const plugin = await call.host.own(String(config.type));
  if (!plugin) throw new CniError(CODE.INTERNAL, `this program has no plugin "${config.type}"`);
  return perform(plugin, {
    ...call,
    command,
    env: { ...call.env, CNI_COMMAND: command },
    config,
    configText: () => JSON.stringify(config),
    host: { ...call.host, inProcess: true },
  });
}

async function addPart(call: Call, config: Json): Promise<Result> {
  const result = await part(call, 'ADD', config);
  if (!result) throw new CniError(CODE.INTERNAL, `plugin ${config.type} returned no result for ADD`);
  return result;
}

async function add(call: Call): Promise<Result> {
  // Read twice: the configuration names the file, and the parts' configurations are built from the file.
  const { subnetFile } = readConfig(call, undefined);
  requireAgent(call);
  const config = readConfig(call, await readSubnetEnv(subnetFile));
  return Undo.guard(call.host.log, async undo => {
    let result = await addPart(call, config.bridge);
    undo.push('delete the interface', () => part(call, 'DEL', config.bridge));
    for (const meta of [config.portmap, config.bandwidth]) {
      const chained = { ...meta, prevResult: encodeResult(result, '1.1.0') };
      result = await addPart(call, chained);
      undo.push(`take ${meta.type} away`, () => part(call, 'DEL', meta));
    }
    return result;
  });
}

async function del(call: Call): Promise<void> {
  await runAll(readForDeletion(call).map(one => () => part(call, 'DEL', one)));
}

async function check(call: Call): Promise<void> {
  const prevResult = encodeResult(requirePrevResult(call), '1.1.0');
  const { subnetFile } = readConfig(call, undefined);
  const { bridge, portmap, bandwidth } = readConfig(call, await readSubnetEnv(subnetFile));
  for (const one of [bridge, portmap, bandwidth]) await part(call, 'CHECK', { ...one, prevResult });
}

async function gc(call: Call): Promise<void> {
  validAttachments(call);
  await runAll(readForDeletion(call).map(one => () => part(call, 'GC', one)));
}

/** 50 without an agent or a subnet; 51 when the agent says that pods may not reach each other. */
async function status(call: Call): Promise<void> {
  const { subnetFile } = readConfig(call, undefined);
  try {
    requireAgent(call);
    await readSubnetEnv(subnetFile);
  } catch (error) {
    const { message, details } = toCniError(error);
    throw new CniError(CODE.PLUGIN_UNAVAILABLE, message, details);
  }
  const trouble = call.host.agent?.trouble();
  if (trouble) throw new CniError(CODE.LIMITED_CONNECTIVITY, trouble);
}

/** Interface, addresses, routes, host ports and bandwidth of a pod in one, done by the node agent. */
export const ripstop: Plugin = {
  name: 'ripstop',
  docs: { keys: ripstopKeys, differences: ['The plugin exists only here.'] },
  add,
  del,
  check,
  gc,
  status,
};
