import { anyValue, listOf, text } from '../../base/schema.ts';
import { bitsOf, formatAddress, unmapped } from '../../ip/address.ts';
import { contains, formatPrefix, type Prefix, parsePrefix } from '../../ip/prefix.ts';
import { readAddress } from '../config/addresses.ts';
import { under } from '../config/fields.ts';
import { passthroughObject, readIgnoringUnknown } from '../config/ignore-unknown.ts';
import { requirePrevResult } from '../config/network.ts';
import { cniArgsOf, readCniArgs, runtimeConfig } from '../config/runtime.ts';
import { type AssignedAddress, dnsField, isV6, type Result, routesField } from '../result/types.ts';
import { CniError, CODE, refuse } from '../skel/errors.ts';
import type { Call, Plugin } from '../skel/plugin.ts';
import { refuseSeveral, requireIpam } from './checks.ts';

const addressFields = {
  address: text('a CIDR', 'address with the length of its subnet'),
  gateway: text('an address', 'gateway of the subnet'),
  // Another field of the reference's type: programs in Go that write that type as JSON write both keys.
  Address: anyValue('ignored; it does not replace address, from which it differs only in case'),
};

const staticFields = {
  addresses: listOf(passthroughObject(addressFields, 'an address'), 'addresses of the pod'),
  routes: routesField,
  dns: dnsField,
};

const wantedFields = {
  ips: listOf(text('a CIDR', 'address wanted'), 'addresses in place of the configured ones'),
};

/** Beginnings of the reference plugin's errors, by where an address comes from. */
const EXPECTED = {
  address: "the 'address' field is expected to be in CIDR notation",
  ip: "the 'ip' field is expected to be in CIDR notation",
  ips: "an entry in the 'ips' field is NOT in CIDR notation",
};

interface Wanted {
  prefix: Prefix;
  gateway?: string | undefined;
  where: string;
}

/** Reads `address/length`; an IPv4-mapped address is one of IPv4. @throws CniError 7 */
function readCidr(text: string, key: keyof typeof EXPECTED, where: string): Prefix {
  const prefix = text.includes('/') ? parsePrefix(text) : undefined;
  const address = prefix && unmapped(prefix);
  const length = prefix && address && prefix.length - bitsOf(prefix.family) + bitsOf(address.family);
  if (address && length !== undefined && length >= 0) return { ...address, length };
  throw new CniError(CODE.INVALID_CONFIG, `${EXPECTED[key]}, got: '${text}'`, where);
}

/** An address of the list, canonical. @throws CniError 7 */
function assigned({ prefix, gateway, where }: Wanted): AssignedAddress {
  const address = formatPrefix(prefix);
  if (!gateway) return { address };
  const read = readAddress(gateway, `${where} gateway`);
  if (read.family !== prefix.family)
    refuse(`${where} gateway`, `${gateway} is not of the family of ${address}`);
  return { address, gateway: formatAddress(read) };
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
    const prefix = readCidr(address, 'ip', 'CNI_ARGS IP');
    const gateway = gateways.find(({ read }) => contains(prefix, read))?.one;
    return { prefix, gateway, where: 'CNI_ARGS IP' };
  });
}

/** All of `ipam`, with the addresses that win: runtimeConfig, then `args.cni`, then the configured and those of CNI_ARGS together. */
function readConfig(call: Call): Result {
  const ipam = readIgnoringUnknown(staticFields, requireIpam(call), 'ipam');
  const configured = (ipam.addresses ?? []).map(({ address = '', gateway }, index): Wanted => {
    const where = `ipam.addresses[${index}].address`;
    return { prefix: readCidr(address, 'address', where), gateway, where };
  });
  const listed = (source: Record<string, unknown>, origin: string) =>
    (readIgnoringUnknown(wantedFields, source, origin).ips ?? []).map((address, index): Wanted => {
      const where = `${origin}.ips[${index}]`;
      return { prefix: readCidr(address, 'ips', where), where };
    });
  const sources = [
    listed(runtimeConfig(call), 'runtimeConfig'),
    listed(cniArgsOf(call.config), 'args.cni'),
    [...configured, ...fromCniArgs(call)],
  ];
  const ips = (sources.find(source => source.length > 0) ?? []).map(assigned);
  const v6 = ips.filter(one => isV6(one.address)).length;
  refuseSeveral(call.version, ips.length - v6, v6, 'ipam.addresses');
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
    differences: ['CHECK fails if an address is not in the previous result.'],
  },
  name: 'static',
  usesNamespace: false,

  add: async call => readConfig(call),
  check,
};
