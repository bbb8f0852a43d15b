import { resolve } from 'node:path';
import { listOf, text } from '../../../base/schema.ts';
import { readAddress } from '../../config/addresses.ts';
import { passthroughObject, readIgnoringUnknown } from '../../config/ignore-unknown.ts';
import { cniArgsOf, readCniArgs, runtimeConfig } from '../../config/runtime.ts';
import { routesField } from '../../result/types.ts';
import { CniError, CODE } from '../../skel/errors.ts';
import type { Call } from '../../skel/plugin.ts';
import { prefixed, refuseSeveral, requireIpam } from '../checks.ts';
import { type RangeSet, rangeFields, readRangeSet, setsOverlap } from './ranges.ts';

export const DEFAULT_DATA_DIR = '/var/lib/cni/networks';

const range = passthroughObject(rangeFields, 'addresses of one subnet');
const rangeSets = listOf(listOf(range, 'ranges of one family, of which one address is given'), 'range sets');

/** All that DEL, CHECK and GC need: a fault in another key must not keep an address from being freed. */
export const directoryFields = {
  dataDir: text('a path', `directory of the address files, by default ${DEFAULT_DATA_DIR}`),
};

export const hostLocalFields = {
  ...rangeFields,
  ...directoryFields,
  ranges: rangeSets,
  routes: routesField,
  resolvConf: text('a path', 'file in resolv.conf format that is returned as DNS settings'),
};

/** Directory of the address files of the call's network. @throws RipstopError ECONFIG */
export function readDirectory(call: Call): string {
  const { dataDir } = readIgnoringUnknown(directoryFields, requireIpam(call), 'ipam');
  return `${resolve(call.cwd, dataDir || DEFAULT_DATA_DIR)}/${call.name}`;
}

/**
 * The whole configuration of an ADD. Ranges: those of the runtime (ipRanges), then the flat one, then `ranges`.
 * Requested addresses: CNI_ARGS IP, `args.cni.ips`, capability `ips`.
 * @throws CniError 7, 4 for a malformed CNI_ARGS
 */
export function readConfig(call: Call) {
  const ipam = readIgnoringUnknown(hostLocalFields, requireIpam(call), 'ipam');
  const runtime = readIgnoringUnknown(
    { ipRanges: rangeSets, ips: listOf(text('an address', 'address wanted'), 'addresses wanted') },
    runtimeConfig(call),
    'runtimeConfig',
  );
  const { ips: ofArgs } = readIgnoringUnknown(
    { ips: listOf(text('an address', 'address wanted'), 'addresses wanted') },
    cniArgsOf(call.config),
    'args.cni',
  );
  const flat = ipam.subnet
    ? [[{ subnet: ipam.subnet, rangeStart: ipam.rangeStart, rangeEnd: ipam.rangeEnd, gateway: ipam.gateway }]]
    : [];
  const named = [
    ...(runtime.ipRanges ?? []).map((set, index) => ({ set, where: `runtimeConfig.ipRanges[${index}]` })),
    ...flat.map(set => ({ set, where: 'ipam' })),
    ...(ipam.ranges ?? []).map((set, index) => ({ set, where: `ipam.ranges[${index}]` })),
  ];
  if (named.length === 0) invalid('no IP ranges specified', 'ipam takes "ranges" or "subnet"');
  const sets = named.map(({ set, where }, index) =>
    prefixed(`invalid range set ${index}`, () => ({ set: readRangeSet(set, where), where })),
  );
  checkSets(sets, call);
  const ofEnvironment = readCniArgs(call.args, ['IP', 'MAC', 'GATEWAY']).get('IP');
  const requested = [
    ...(ofEnvironment ? [readAddress(ofEnvironment, 'CNI_ARGS IP')] : []),
    ...(ofArgs ?? []).map((one, index) => readAddress(one, `args.cni.ips[${index}]`)),
    ...(runtime.ips ?? []).map((one, index) => readAddress(one, `runtimeConfig.ips[${index}]`)),
  ];
  return {
    sets: sets.map(({ set }) => set),
    routes: ipam.routes ?? [],
    resolvConf: ipam.resolvConf ? resolve(call.cwd, ipam.resolvConf) : undefined,
    requested,
  };
}

function invalid(sentence: string, details: string): never {
  throw new CniError(CODE.INVALID_CONFIG, sentence, details);
}

function checkSets(sets: readonly { set: RangeSet; where: string }[], call: Call): void {
  for (const [index, { set, where }] of sets.entries()) {
    const other = sets.findIndex((earlier, at) => at < index && setsOverlap(earlier.set, set));
    if (other >= 0) invalid(`range set ${other} overlaps with ${index}`, where);
  }
  const v6 = sets.filter(({ set }) => set[0].network.family === 6).length;
  refuseSeveral(call.version, sets.length - v6, v6, 'ipam.ranges');
}
