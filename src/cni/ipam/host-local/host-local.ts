import { messageOf } from '../../../base/errors.ts';
import { fileSystemAnswers } from '../../../base/files/regular-file.ts';
import { text } from '../../../base/schema.ts';
import { under } from '../../config/fields.ts';
import { validAttachments } from '../../config/network.ts';
import type { Result } from '../../result/types.ts';
import { CniError, CODE } from '../../skel/errors.ts';
import type { Call, Plugin } from '../../skel/plugin.ts';
import { allocate } from './allocate.ts';
import { hostLocalFields, readConfig, readDirectory } from './config.ts';
import { readResolvConf } from './resolv-conf.ts';
import { AddressStore } from './store.ts';

async function store<T>(call: Call, work: (store: AddressStore) => T): Promise<T> {
  const directory = readDirectory(call);
  await fileSystemAnswers(directory);
  return AddressStore.locked(directory, work);
}

async function add(call: Call): Promise<Result> {
  const config = readConfig(call);
  const dns = config.resolvConf ? await readResolvConf(config.resolvConf) : {};
  const ips = await store(call, held =>
    allocate(held, config.sets, config.requested, call.containerId, call.ifname),
  );
  return { interfaces: [], ips, routes: config.routes, dns };
}

async function del(call: Call): Promise<void> {
  await store(call, held => held.release(call.containerId, call.ifname));
}

async function check(call: Call): Promise<void> {
  const addresses = await store(call, held => held.addressesOf(call.containerId, call.ifname));
  if (addresses.length > 0) return;
  throw new CniError(
    CODE.INTERNAL,
    `host-local: Failed to find address added by container ${call.containerId}`,
  );
}

async function gc(call: Call): Promise<void> {
  const valid = validAttachments(call);
  const freed = await store(call, held => held.collect(valid));
  if (freed.length > 0) call.host.log(`host-local: freed ${freed.join(' ')} of ${call.name}`);
}

async function status(call: Call): Promise<void> {
  try {
    readConfig(call);
    await store(call, () => undefined);
  } catch (error) {
    throw new CniError(CODE.PLUGIN_UNAVAILABLE, `host-local: ${messageOf(error)}`);
  }
}

/** Addresses from ranges kept on this host, in the reference plugin's files. */
export const hostLocal: Plugin = {
  name: 'host-local',
  usesNamespace: false,
  docs: {
    keys: {
      ...under('ipam', hostLocalFields),
      'runtimeConfig.ips': text('list of addresses', 'addresses wanted'),
      'runtimeConfig.ipRanges': text('list of range sets', 'range sets before those of ipam'),
      'args.cni.ips': text('list of addresses', 'addresses wanted'),
      'CNI_ARGS IP': text('an address', 'address wanted'),
    },
    differences: [
      'Address files are created with their content, so that a crash leaves none empty. An address whose file is empty or has only zeros is given again.',
      'A directory, FIFO or unreadable file that is named as an address keeps the address taken and stops no command.',
      'A second ADD of an attachment is refused while it has any address of the network.',
    ],
  },
  add,
  del,
  check,
  gc,
  status,
};
