import { removeTemps } from '../../../base/atomic-file.ts';
import { validAttachments } from '../../config/network.ts';
import { delegate, delegateAdd } from '../../delegate/delegate.ts';
import { runAll } from '../../link/netlink-pair.ts';
import type { Result } from '../../result/types.ts';
import { CniError, CODE, toCniError } from '../../skel/errors.ts';
import type { Call, Plugin } from '../../skel/plugin.ts';
import { buildDelegate, delegateType, flannelFields, readConfig, readDataDir } from './config.ts';
import { type Saved, SavedDelegates } from './saved-delegates.ts';
import { readSubnetEnv } from './subnet-env.ts';

/** What the delegate was given is on disk before it runs: a crash between the two is undone by DEL. */
async function add(call: Call): Promise<Result> {
  const config = readConfig(call);
  const built = buildDelegate(call, config, await readSubnetEnv(config.subnetFile));
  const saved = await SavedDelegates.in(config.dataDir);
  const former = saved.find(call.containerId, call.ifname);
  saved.save(call.containerId, call.ifname, built);
  try {
    return await delegateAdd(call, delegateType(built), built);
  } catch (error) {
    // The delegate has undone its work. A second ADD that it refused must not cost the first one its record.
    const own = saved.find(call.containerId, call.ifname);
    if (former) saved.save(call.containerId, call.ifname, former.delegate);
    else if (own) saved.remove(own);
    throw error;
  }
}

/** The saved configuration as the delegate is to see it now: with the current previous result. */
function forDelegate(call: Call, { delegate: saved }: Saved): Record<string, unknown> {
  const { prevResult } = call.config;
  return { ...saved, ...(prevResult ? { prevResult } : {}) };
}

async function del(call: Call): Promise<void> {
  const dataDir = readDataDir(call);
  const saved = await SavedDelegates.in(dataDir);
  saved.removeTemps(call.containerId, call.ifname);
  const found = saved.find(call.containerId, call.ifname);
  // Nothing on record: never added, or deleted before.
  if (!found) return;
  await delegate(call, delegateType(found.delegate), 'DEL', forDelegate(call, found));
  saved.remove(found);
}

async function check(call: Call): Promise<void> {
  const dataDir = readDataDir(call);
  const found = (await SavedDelegates.in(dataDir)).find(call.containerId, call.ifname);
  if (!found) {
    throw new CniError(
      CODE.INTERNAL,
      `no record of container ${call.containerId}, interface ${call.ifname}, in ${dataDir}`,
    );
  }
  await delegate(call, delegateType(found.delegate), 'CHECK', forDelegate(call, found));
}

/** Deletes each attachment that is on record and not valid, then lets the delegate look for what is on no record. */
async function gc(call: Call): Promise<void> {
  const dataDir = readDataDir(call);
  const valid = validAttachments(call);
  const saved = await SavedDelegates.in(dataDir);
  const isValid = (one: Saved) =>
    valid.some(
      ({ containerID, ifname }) =>
        containerID === one.containerId && (one.ifname === undefined || one.ifname === ifname),
    );
  const stale = saved.list().filter(one => one.delegate.name === call.name && !isValid(one));
  const steps = stale.map(one => async () => {
    const { containerId, ifname = 'eth0' } = one;
    const env = { ...call.env, CNI_CONTAINERID: containerId, CNI_IFNAME: ifname, CNI_NETNS: '' };
    const gone: Call = { ...call, containerId, ifname, netns: '', env };
    await delegate(gone, delegateType(one.delegate), 'DEL', one.delegate);
    saved.remove(one);
  });
  await runAll([...steps, () => removeTemps(dataDir), () => forwardBuilt(call, 'GC')]);
}

/** GC or STATUS for the delegate, with the configuration that an ADD would give it now. */
async function forwardBuilt(call: Call, command: 'GC' | 'STATUS'): Promise<void> {
  const config = readConfig(call);
  const built = buildDelegate(call, config, await readSubnetEnv(config.subnetFile));
  const lists = ['cni.dev/valid-attachments', 'cni.dev/attachments'].filter(key =>
    Object.hasOwn(call.config, key),
  );
  for (const key of lists) built[key] = call.config[key];
  await delegate(call, delegateType(built), command, built);
}

async function status(call: Call): Promise<void> {
  try {
    await readSubnetEnv(readConfig(call).subnetFile);
  } catch (error) {
    const { message, details } = toCniError(error);
    throw new CniError(CODE.PLUGIN_UNAVAILABLE, message, details);
  }
  await forwardBuilt(call, 'STATUS');
}

/** Wires pods into the node's subnet of an overlay, by another plugin. */
export const flannel: Plugin = {
  name: 'flannel',
  docs: {
    keys: flannelFields,
    differences: [
      "There is one record per interface; the reference's record per container is overwritten by a second interface. Records of the reference are read.",
      'Without subnet.env ADD ends with code 11 and STATUS with code 50.',
    ],
  },
  add,
  del,
  check,
  gc,
  status,
};
