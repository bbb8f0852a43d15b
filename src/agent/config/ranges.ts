import { fail } from '../../base/schema.ts';
import type { Family } from '../../ip/address.ts';
import { contains, formatPrefix, isNetwork, type Prefix, parsePrefix, sizeOf } from '../../ip/prefix.ts';

/** Where subnets of one family are taken from. `min` and `max` are the first and the last subnet. */
export interface SubnetRange {
  readonly network: Prefix;
  readonly length: number;
  readonly min: bigint;
  readonly max: bigint;
}

/** The limits that differ between the families (flannel, pkg/subnet: CheckNetworkConfig). */
const LIMITS = {
  4: { usual: 24, longestNetwork: 28, longestSubnet: 30 },
  6: { usual: 64, longestNetwork: 124, longestSubnet: 126 },
} as const;

/** Names of the keys, for messages. */
const KEYS = {
  4: { network: 'Network', length: 'SubnetLen', min: 'SubnetMin', max: 'SubnetMax' },
  6: { network: 'IPv6Network', length: 'IPv6SubnetLen', min: 'IPv6SubnetMin', max: 'IPv6SubnetMax' },
} as const;

export interface RangeKeys {
  network: string | undefined;
  length: number | undefined;
  min: string | undefined;
  max: string | undefined;
}

/** Reads the network of a family alone; host bits are refused because a typing slip would move the range. */
export function readNetwork(family: Family, textOf: string | undefined): Prefix {
  const key = KEYS[family].network;
  if (!textOf)
    fail(key, 'is missing', `it takes the pod network as an IPv${family} CIDR, or switch the family off`);
  const network = textOf.includes('/') ? parsePrefix(textOf) : undefined;
  if (!network || network.family !== family)
    fail(key, `${JSON.stringify(textOf)} is not an IPv${family} CIDR`);
  if (!isNetwork(network)) {
    const size = sizeOf(family, network.length);
    const base = { ...network, value: (network.value / size) * size };
    fail(key, `${textOf} has host bits set`, `did you mean ${formatPrefix(base)}?`);
  }
  return network;
}

/** Reads the range of one family with flannel's defaults and limits. */
export function readRange(family: Family, keys: RangeKeys): SubnetRange {
  const name = KEYS[family];
  const limits = LIMITS[family];
  const network = readNetwork(family, keys.network);
  if (network.length > limits.longestNetwork)
    fail(
      name.network,
      `${formatPrefix(network)} is too small`,
      `the longest prefix is /${limits.longestNetwork}`,
    );
  const length = keys.length || (network.length > limits.usual - 2 ? network.length + 2 : limits.usual);
  if (length < network.length + 2)
    fail(
      name.length,
      `/${length} leaves fewer than four subnets in ${formatPrefix(network)}`,
      `use ${network.length + 2} or more`,
    );
  if (length > limits.longestSubnet)
    fail(name.length, `/${length} is too small for a node`, `use at most ${limits.longestSubnet}`);

  const size = sizeOf(family, length);
  const last = network.value + sizeOf(family, network.length) - size;
  const bound = (key: 'min' | 'max', fallback: bigint): bigint => {
    const given = keys[key];
    if (!given) return fallback;
    const subnet = parsePrefix(given.includes('/') ? given : `${given}/${length}`);
    if (!subnet || subnet.family !== family)
      fail(name[key], `${JSON.stringify(given)} is not an IPv${family} address`);
    if (!contains(network, { ...subnet, length }))
      fail(name[key], `${given} is outside ${formatPrefix(network)}`);
    if (subnet.value % size !== 0n) fail(name[key], `${given} is not the base of a /${length}`);
    return subnet.value;
  };
  const min = bound('min', network.value + size);
  const max = bound('max', last);
  if (min > max) fail(name.min, `${keys.min} is above ${name.max} ${keys.max}`);
  return { network, length, min, max };
}
