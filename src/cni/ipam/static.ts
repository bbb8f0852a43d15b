import { listOf, text } from '../../base/schema.ts';
import { formatAddress } from '../../ip/address.ts';
import { contains, formatPrefix } from '../../ip/prefix.ts';
import { readAddress, readPrefix } from '../config/addresses.ts';
import { under } from '../config/fields.ts';
import { passthroughObject, readIgnoringUnknown } from '../config/ignore-unknown.ts';
import { requirePrevResult } from '../config/network.ts';
import { cniArgsOf, readCniArgs, runtimeConfig } from '../config/runtime.ts';
import { type AssignedAddress, dnsField, isV6, type Result, routesField } from '../result/types.ts';
import { CniError, CODE, refuse } from '../skel/errors.ts';
import type { Call, Plugin } from '../skel/plugin.ts';
import { isAtLeast } from '../skel/version.ts';

const addressFields = {
  address: text('a CIDR', 'address with the length of its subnet'),
  gateway: text('an address', 'gateway of the subnet'),
};

const staticFields = {
  addresses: listOf(passthroughObject(addressFields, 'an address'), 'addresses of the pod'),
  routes: routesField,
  dns: dnsField,
};

const wantedFields = {
  ips: listOf(text('a CIDR', 'address wanted'), 'addresses in place of the configured ones'),
};

interface Wanted {
  address: string;
  gateway?: string | undefined;
  where: string;
}

/** An address of the list, canonical. @throws CniError 7 */
function assigned({ address, gateway, where }: Wanted): AssignedAddress {
  const prefix = readPrefix(address, where);
  const canonical = formatPrefix(prefix);
  if (!gateway) return { address: canonical };
  const read = readAddress(gateway, `${where} gateway`);
  if (read.family !== prefix.family)
    refuse(`${where} gateway`, `${gateway} is not of the family of ${address}`);
  return { address: canonical, gateway: formatAddress(read) };
}

/** Addresses of CNI_ARGS: IP a list of CIDRs, GATEWAY a list of addresses, each for the subnet that it lies in. */
function fromCniArgs(call: Call): Wanted[] {
  const args = readCniArgs(call.args, ['IP', 'GATEWAY', 'MAC']);
  const split = (key: string) =>
    (args.get(key) ?? '')
      .split(',')
      .map(part => part.trim())
      .filter(part => part !== '');
  const gateways = split('GATEWAY').map(one => ({ one, read: readAddress(one, 'CNI_ARGS GATEWAY') }));
  return split('IP').map(address => {
    const prefix = readPrefix(address, 'CNI_ARGS IP');
    const gateway = gateways.find(({ read }) => contains(prefix, read))?.one;
    return { address, gateway, where: 'CNI_ARGS IP' };
  });
}

/** All of `ipam`, with the addresses that win: runtimeConfig, then `args.cni`, then CNI_ARGS, then the configured. */
function readConfig(call: Call): Result {
  const ipam = readIgnoringUnknown(staticFields, call.config.ipam, 'ipam');
  const configured = (ipam.addresses ?? []).map(({ address, gateway }, index): Wanted => {
    if (!address) refuse(`ipam.addresses[${index}].address`, 'is missing');
    return { address, gateway, where: `ipam.addresses[${index}].address` };
  });
  const listed = (source: Record<string, unknown>, where: string) =>
    (readIgnoringUnknown(wantedFields, source, where).ips ?? []).map((address, index): Wanted => {
      return { address, where: `${where}.ips[${index}]` };
    });
  const sources = [
    listed(runtimeConfig(call), 'runtimeConfig'),
    listed(cniArgsOf(call.config), 'args.cni'),
    fromCniArgs(call),
    configured,
  ];
  const ips = (sources.find(source => source.length > 0) ?? []).map(assigned);
  const v6 = ips.filter(one => isV6(one.address)).length;
  if (!isAtLeast(call.version, '0.3.0') && (v6 > 1 || ips.length - v6 > 1)) {
    refuse('ipam.addresses', `CNI version ${call.version} does not support more than 1 address per family`);
  }
  return {
    interfaces: [],
    ips,
    routes: ipam.routes ?? [],
    dns: ipam.dns ?? {},
  };
}

async function check(call: Call): Promise<void> {
  const { ips } = readConfig(call);
  const previous = requirePrevResult(call);
  for (const { address } of ips) {
    if (previous.ips.some(one => one.address === address)) continue;
    throw new CniError(CODE.INTERNAL, `static: Failed to match addr ${address} on interface ${call.ifname}`);
  }
}

/** Addresses from the configuration. No state is kept, so nothing has to be released. */
export const staticAddresses: Plugin = {
  docs: {
    keys: {
      ...under('ipam', staticFields),
      'runtimeConfig.ips': text('list of CIDRs', 'addresses of capability ips'),
      'args.cni.ips': text('list of CIDRs', 'addresses of the caller'),
      'CNI_ARGS IP': text('list of CIDRs', 'addresses of the environment'),
      'CNI_ARGS GATEWAY': text('list of addresses', 'gateway of each subnet in CNI_ARGS IP'),
    },
    differences: [],
  },
  name: 'static',
  usesNamespace: false,

  add: async call => readConfig(call),
  check,
};
