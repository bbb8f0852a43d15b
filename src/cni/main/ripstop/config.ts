import { resolve } from 'node:path';
import { anyValue, flag, listOf, oneOf, readObject, text, withDefault } from '../../../base/schema.ts';
import { mtuField, under } from '../../config/fields.ts';
import { anyObject, passthroughObject, readIgnoringUnknown } from '../../config/ignore-unknown.ts';
import { withNames } from '../../config/keys.ts';
import { readDns } from '../../config/network.ts';
import { runtimeConfig } from '../../config/runtime.ts';
import { DEFAULT_SUBNET_FILE } from '../../meta/flannel/config.ts';
import type { NodeSubnets } from '../../meta/flannel/subnet-env.ts';
import { BACKENDS } from '../../rules/backend.ts';
import { refuse } from '../../skel/errors.ts';
import type { Call } from '../../skel/plugin.ts';

type Json = Record<string, unknown>;

const reserved = {
  cniVersion: anyValue('version of the specification'),
  cniVersions: anyValue('versions of the specification'),
  name: anyValue('name of the network'),
  type: anyValue('ripstop'),
  capabilities: anyObject('what the runtime may pass: portMappings, bandwidth, mac, ips'),
  runtimeConfig: anyObject('what the runtime passes'),
  args: anyObject('what the caller passes'),
  prevResult: anyValue('result of an earlier plugin, or of ADD'),
  dns: anyValue('resolver settings'),
};

const ipamFields = {
  type: oneOf(['host-local'], 'address management'),
  dataDir: text('a path', 'directory of the address files'),
  routes: listOf(
    anyValue('a route: {dst, gw, ...}'),
    'routes in addition to those to the networks of the overlay',
  ),
  resolvConf: text('a path', 'file in resolv.conf format that is returned as DNS settings'),
};

const ownFields = {
  bridge: withDefault(text('an interface name', 'name of the bridge'), 'cni0'),
  mtu: mtuField,
  hairpinMode: withDefault(flag('a pod reaches itself by its host ports'), true),
  isDefaultGateway: withDefault(flag('route everything to the node'), true),
  macspoofchk: withDefault(flag('drop frames of the pod that carry a foreign MAC address'), false),
  portIsolation: withDefault(flag('no traffic between pods of the node'), false),
  backend: withDefault(oneOf(BACKENDS, 'where rules are put'), 'nftables'),
  subnetFile: text('a path', `file with the node's subnets, by default ${DEFAULT_SUBNET_FILE}`),
  ipam: anyObject('address management; ranges come from the agent'),
};

const ripstopFields = { ...reserved, ...ownFields };

/** For the documentation. */
export const ripstopKeys = { ...ownFields, ...under('ipam', ipamFields) };

/** The standard says that keys of the form `cni.dev/...` may come with any configuration. */
function withoutReserved(config: Json): Json {
  return Object.fromEntries(Object.entries(config).filter(([key]) => !key.startsWith('cni.dev/')));
}

/**
 * The configurations of the three plugins that this one is made of. They use the newest version among themselves;
 * what the runtime sees is converted at the end.
 * @param env values of subnet.env; undefined to validate the configuration before that file is read
 * @throws RipstopError ECONFIG with a suggestion for an unknown key, CniError 7
 */
export function readConfig(call: Call, env: NodeSubnets | undefined) {
  const keys = readObject(
    ripstopFields,
    withNames(Object.keys(ripstopFields), withoutReserved(call.config)),
    '',
  );
  const ipam = readObject(ipamFields, withNames(Object.keys(ipamFields), keys.ipam ?? {}), 'ipam');
  const { portMappings, bandwidth, ...runtime } = withNames(
    ['portMappings', 'bandwidth'],
    runtimeConfig(call),
  );
  if (keys.mtu && env && keys.mtu > env.mtu) {
    refuse(
      'mtu',
      `${keys.mtu} is more than the overlay carries: ${env.mtu}`,
      'leave it out to take that of the overlay',
    );
  }
  const dns = readDns(call.config);
  const common = commonOf(call);
  return {
    bridge: {
      ...common,
      type: 'bridge',
      bridge: keys.bridge,
      isGateway: true,
      isDefaultGateway: keys.isDefaultGateway,
      hairpinMode: keys.hairpinMode,
      macspoofchk: keys.macspoofchk,
      portIsolation: keys.portIsolation,
      mtu: keys.mtu || env?.mtu || 0,
      ipMasq: !env?.ipMasq,
      ipMasqBackend: keys.backend,
      ...(keys.args ? { args: keys.args } : {}),
      ...(dns ? { dns } : {}),
      runtimeConfig: runtime,
      ipam: buildIpam(ipam, env),
    },
    portmap: {
      ...common,
      type: 'portmap',
      backend: keys.backend,
      runtimeConfig: portMappings ? { portMappings } : {},
    },
    bandwidth: { ...common, type: 'bandwidth', runtimeConfig: bandwidth ? { bandwidth } : {} },
    subnetFile: resolve(call.cwd, keys.subnetFile || DEFAULT_SUBNET_FILE),
  };
}

/** What every part gets: the network, and the lists of attachments of a GC. */
function commonOf({ config, name }: Call): Json {
  const lists = Object.fromEntries(Object.entries(config).filter(([key]) => key.startsWith('cni.dev/')));
  return { ...lists, cniVersion: '1.1.0', name };
}

const deletionFields = {
  ipam: passthroughObject({ dataDir: ipamFields.dataDir }, 'address management'),
};

/**
 * The configurations for DEL and GC, in the order of the deletion: only the keys that the parts need to find what they
 * have made. A fault in another key must not keep a pod from being deleted.
 * @throws RipstopError ECONFIG
 */
export function readForDeletion(call: Call): Json[] {
  const { ipam } = readIgnoringUnknown(deletionFields, call.config, '');
  const { runtimeConfig } = call.config;
  const common = commonOf(call);
  return [
    { ...common, type: 'bandwidth' },
    { ...common, type: 'portmap', ...(runtimeConfig ? { runtimeConfig } : {}) },
    { ...common, type: 'bridge', ipam: buildIpam({ dataDir: ipam?.dataDir }, undefined) },
  ];
}

function buildIpam(
  ipam: { dataDir?: string | undefined; routes?: unknown[] | undefined; resolvConf?: string | undefined },
  env: NodeSubnets | undefined,
): Json {
  const { dataDir, routes = [], resolvConf } = ipam;
  return {
    type: 'host-local',
    ...(dataDir ? { dataDir } : {}),
    ...(resolvConf ? { resolvConf } : {}),
    ...(env ? { ranges: env.subnets.map(subnet => [{ subnet }]) } : {}),
    routes: [...routes, ...(env?.networks ?? []).map(dst => ({ dst }))],
  };
}
