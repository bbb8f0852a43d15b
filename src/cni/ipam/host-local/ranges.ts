import { type Shape, text } from '../../../base/schema.ts';
import { type Address, bitsOf, formatAddress, unmapped } from '../../../ip/address.ts';
import { contains, isNetwork, lastOf, networkOf, nth, type Prefix } from '../../../ip/prefix.ts';
import { readAddress, readPrefix } from '../../config/addresses.ts';
import { CniError, CODE, refuse } from '../../skel/errors.ts';

export const rangeFields = {
  subnet: text('a CIDR', 'network that the addresses belong to', /./),
  rangeStart: text('an address', 'first address to give'),
  rangeEnd: text('an address', 'last address to give'),
  gateway: text('an address', 'gateway, never given; default the first address'),
};
/** One range as configured. */
type RangeConfig = Partial<Shape<typeof rangeFields>>;

/** Addresses `start` to `end` of a subnet, both included. */
export interface AddressRange {
  network: Prefix;
  start: bigint;
  end: bigint;
  gateway: bigint;
}

/** Ranges of one family from which one address is given; at least one. */
export type RangeSet = readonly [AddressRange, ...AddressRange[]];

/** Shortest host part: network, gateway, broadcast and one pod. */
const MIN_HOST_BITS = 2;

/** Refuses a range in the reference plugin's words. */
function invalid(sentence: string, where: string, hint?: string): never {
  throw new CniError(CODE.INVALID_CONFIG, sentence, hint ? `${where}: ${hint}` : where);
}

/**
 * A range with its defaults: gateway and start the first address, end the last (in IPv4 before the broadcast). As in the reference
 * plugin the addresses of the network and of broadcasts are given where the bounds name them.
 * @throws CniError 7: host bits set, too small, a bound outside of the subnet
 */
export function readRange(config: RangeConfig, where: string): AddressRange {
  if (!config.subnet) refuse(`${where}.subnet`, 'is missing');
  const network = readPrefix(config.subnet, `${where}.subnet`);
  const { family, length } = network;
  if (unmapped(network).family !== family)
    invalid(
      'IPNet IP and Mask version mismatch',
      `${where}.subnet`,
      `${config.subnet} is to be written as IPv4`,
    );
  if (!isNetwork(network)) {
    const base = formatAddress(networkOf(network));
    invalid(
      `Network has host bits set. For a subnet mask of length ${length} the network address is ${base}`,
      `${where}.subnet`,
    );
  }
  if (bitsOf(family) - length < MIN_HOST_BITS) {
    const longest = `at most /${bitsOf(family) - MIN_HOST_BITS}`;
    invalid(`Network ${config.subnet} too small to allocate from`, `${where}.subnet`, longest);
  }
  const last = lastOf(network).value;
  const bound = (key: 'rangeStart' | 'rangeEnd', name: string, fallback: bigint) => {
    const text = config[key];
    if (!text) return fallback;
    const address = readAddress(text, `${where}.${key}`);
    if (!contains(network, address))
      invalid(`${name} ${text} not in network ${config.subnet}`, `${where}.${key}`);
    return address.value;
  };
  const start = bound('rangeStart', 'RangeStart', nth(network, 1n).value);
  const end = bound('rangeEnd', 'RangeEnd', family === 6 ? last : last - 1n);
  if (start > end)
    refuse(
      `${where}.rangeStart`,
      `${config.rangeStart} is behind the end ${formatAddress({ family, value: end })}`,
    );
  let gateway = nth(network, 1n).value;
  if (config.gateway) {
    const address = readAddress(config.gateway, `${where}.gateway`);
    if (address.family !== family)
      refuse(`${where}.gateway`, `${config.gateway} is not of the subnet's family`);
    gateway = address.value;
  }
  return { network, start, end, gateway };
}

/** Ranges of one set: one family, none over another. @throws CniError 7 */
export function readRangeSet(configs: readonly RangeConfig[], where: string): RangeSet {
  const ranges = configs.map((config, index) => readRange(config, `${where}[${index}]`));
  const [first, ...others] = ranges;
  if (!first) invalid('empty range set', where);
  for (const [index, range] of ranges.entries()) {
    if (range.network.family !== first.network.family)
      invalid('mixed address families', `${where}[${index}]`);
    const other = ranges.slice(0, index).find(earlier => overlap(earlier, range));
    if (other) invalid(`subnets ${describe(other)} and ${describe(range)} overlap`, where);
  }
  return [first, ...others];
}

function overlap(a: AddressRange, b: AddressRange): boolean {
  return a.network.family === b.network.family && a.start <= b.end && b.start <= a.end;
}

/** True when some address is in both sets. */
export function setsOverlap(a: RangeSet, b: RangeSet): boolean {
  return a.some(range => b.some(other => overlap(range, other)));
}

/** The range of the set that an address lies in. */
export function rangeOf(set: RangeSet, { family, value }: Address): AddressRange | undefined {
  return set.find(({ network, start, end }) => network.family === family && value >= start && value <= end);
}

/** An address that may be given, and its range. */
export interface Candidate {
  range: AddressRange;
  value: bigint;
}

function* free(range: AddressRange, start = range.start, end = range.end): Generator<Candidate> {
  for (let value = start; value <= end; value++) if (value !== range.gateway) yield { range, value };
}

/**
 * The addresses of a set in the order in which they are tried: behind the last one given, around once.
 * @param last the address given last, or undefined to begin at the first
 */
export function* candidates(set: RangeSet, last: bigint | undefined): Generator<Candidate> {
  const at = last === undefined ? -1 : set.findIndex(range => last >= range.start && last <= range.end);
  const current = set[at];
  if (!current || last === undefined) {
    for (const range of set) yield* free(range);
    return;
  }
  yield* free(current, last + 1n);
  for (const range of [...set.slice(at + 1), ...set.slice(0, at)]) yield* free(range);
  yield* free(current, current.start, last);
}

/** `10.1.0.1-10.1.0.254` for messages. */
export function describe({ network: { family }, start, end }: AddressRange): string {
  return `${formatAddress({ family, value: start })}-${formatAddress({ family, value: end })}`;
}

export function describeSet(set: RangeSet): string {
  return set.map(describe).join(',');
}
