import { resolve } from 'node:path';
import { text } from '../../../base/schema.ts';
import { anyObject, readIgnoringUnknown } from '../../config/ignore-unknown.ts';
import { refuse } from '../../skel/errors.ts';
import type { Call } from '../../skel/plugin.ts';
import type { NodeSubnets } from './subnet-env.ts';

type Json = Record<string, unknown>;

export const DEFAULT_SUBNET_FILE = '/run/flannel/subnet.env';
const DEFAULT_DATA_DIR = '/var/lib/cni/flannel';

const dataDirFields = {
  dataDir: text('a path', `directory of the delegates' configurations, by default ${DEFAULT_DATA_DIR}`),
};

export const flannelFields = {
  ...dataDirFields,
  subnetFile: text('a path', `file with the node's subnets, by default ${DEFAULT_SUBNET_FILE}`),
  delegate: anyObject('configuration of the plugin that wires the pod; name and ipam are set here'),
  ipam: anyObject('address management; ranges are set here'),
};

/** Directory of the records, which is all that DEL and CHECK need. @throws RipstopError ECONFIG */
export function readDataDir(call: Call): string {
  const { dataDir } = readIgnoringUnknown(dataDirFields, call.config, '');
  return resolve(call.cwd, dataDir || DEFAULT_DATA_DIR);
}

/** @throws CniError 7 */
export function readConfig(call: Call) {
  const keys = readIgnoringUnknown(flannelFields, call.config, '');
  const delegate = keys.delegate ?? {};
  for (const key of ['name', 'ipam']) {
    if (Object.hasOwn(delegate, key)) {
      refuse(
        `delegate.${key}`,
        `'delegate' dictionary must not have '${key}' field, it'll be set by flannel`,
      );
    }
  }
  if (delegate.type !== undefined && typeof delegate.type !== 'string') {
    refuse('delegate.type', "'delegate' dictionary, if present, must have (string) 'type' field");
  }
  return {
    subnetFile: resolve(call.cwd, keys.subnetFile || DEFAULT_SUBNET_FILE),
    dataDir: readDataDir(call),
    delegate,
    ipam: keys.ipam ?? {},
  };
}

/** Type of the plugin that wires the pod. */
export function delegateType(config: Json): string {
  return typeof config.type === 'string' && config.type !== '' ? config.type : 'bridge';
}

/**
 * The delegate's configuration: the user's keys, completed with the values of subnet.env. The delegate masquerades only when the
 * daemon does not.
 */
export function buildDelegate(call: Call, config: ReturnType<typeof readConfig>, env: NodeSubnets): Json {
  const type = delegateType(config.delegate);
  const { runtimeConfig, cniVersion } = call.config;
  return {
    ipMasq: !env.ipMasq,
    mtu: env.mtu,
    ...(type === 'bridge' ? { isGateway: true } : {}),
    ...config.delegate,
    type,
    name: call.name,
    ...(cniVersion ? { cniVersion } : {}),
    ...(runtimeConfig ? { runtimeConfig } : {}),
    ipam: buildIpam(config.ipam, env),
  };
}

/** One range set per family, and a route to each network of the cluster besides the user's own. */
function buildIpam(ipam: Json, env: NodeSubnets): Json {
  if (ipam.routes !== undefined && !Array.isArray(ipam.routes)) refuse('ipam.routes', 'must be a list');
  const routes = (ipam.routes ?? []) as { dst?: unknown }[];
  const there = new Set(routes.map(route => route?.dst));
  return {
    type: 'host-local',
    ...ipam,
    ranges: env.subnets.map(subnet => [{ subnet }]),
    routes: [...routes, ...env.networks.filter(dst => !there.has(dst)).map(dst => ({ dst }))],
  };
}
