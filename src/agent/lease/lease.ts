import { describeError, messageOf, RipstopError } from '../../base/errors.ts';
import { formatAddress, parseAddress } from '../../ip/address.ts';
import { formatPrefix, isNetwork, type Prefix, parsePrefix } from '../../ip/prefix.ts';

/** What a node publishes beside its subnet; flannel's LeaseAttrs. */
export interface LeaseAttributes {
  /** Underlay address that peers send to; undefined only on nodes without IPv4. */
  readonly publicIp: string | undefined;
  readonly publicIpv6: string | undefined;
  /** `vxlan`, `host-gw`; flannel's udp backend writes none. */
  readonly backendType: string;
  /** JSON value of the backend, kept as it came so that foreign keys survive. */
  readonly backendData: unknown;
  readonly backendV6Data: unknown;
}

/** The subnets of one node; at least one of the two. */
export interface Subnets {
  readonly v4: Prefix | undefined;
  readonly v6: Prefix | undefined;
}

/** A subnet that a node holds. */
export interface Lease extends Subnets {
  /** Name in the store, unique: flannel's subnet key, or the Node's name. */
  readonly key: string;
  readonly attributes: LeaseAttributes;
  /**
   * Wall clock in ms when it ends; 0: never (a reservation, or a store without expiry); undefined: it ends, but
   * only the store knows when.
   */
  readonly expiresAt: number | undefined;
  /**
   * Who holds it and is alive as far as the store knows: `name/boot id`, or a Kubernetes Node's name. Undefined
   * for a lease of flannel's, and for one whose holder has not been heard of for a while.
   */
  readonly node: string | undefined;
  /** True: the store can tell that the holder is gone, or out of order for a while. */
  readonly isGone?: boolean;
  /** True: the store lost the lease, and it is kept for a while. A lease that the store has takes precedence. */
  readonly isKept?: boolean;
  /** Age, comparable within one store: the smaller the older. Undefined where the store does not tell. */
  readonly since?: number | undefined;
}

/** IPv4 half of flannel's key of a node without IPv4: its zero value. */
const NO_IPV4 = '0.0.0.0-0';

/**
 * flannel's key of a subnet (MakeSubnetKey, pkg/subnet/subnet.go): `10.5.34.0-24`, in dual stack with `&fc00:0:0:5::-64`
 * appended. flanneld takes any key that it cannot parse for an empty list of leases and removes all its peers.
 */
export function formatKey({ v4, v6 }: Subnets): string {
  if (!v4 && !v6) throw new RangeError('a lease without any subnet');
  const half4 = v4 ? formatPrefix(v4).replace('/', '-') : NO_IPV4;
  return v6 ? `${half4}&${formatPrefix(v6).replace('/', '-')}` : half4;
}

/**
 * Reads a key (the last component of a path in the store); undefined when it names no subnet. Early Ripstop versions
 * wrote the IPv6 half with dashes for colons, and without an IPv4 half on nodes without IPv4: both forms are read.
 */
export function parseKey(key: string): Subnets | undefined {
  const match = /^(?:(\d+\.\d+\.\d+\.\d+-\d+)(?:&([0-9a-f:-]+))?|([0-9a-f:-]+))$/.exec(key);
  if (!match) return undefined;
  const [, first, second, alone] = match;
  const text6 = second ?? alone;
  const text4 = first === NO_IPV4 && text6 !== undefined ? undefined : first;
  const v4 = text4 === undefined ? undefined : parsePrefix(text4.replace('-', '/'));
  const v6 =
    text6 === undefined ? undefined : parsePrefix(text6.replace(/-([^-]*)$/, '/$1').replaceAll('-', ':'));
  if (text4 !== undefined && (v4?.family !== 4 || v4.length === 0)) return undefined;
  if (text6 !== undefined && (v6?.family !== 6 || v6.length === 0)) return undefined;
  if ((v4 && !isNetwork(v4)) || (v6 && !isNetwork(v6))) return undefined;
  return { v4, v6 };
}

/** True for two leases of one node under one subnet, also where the one has the key of an early Ripstop version. */
export function isSameLease(a: Lease, b: Lease): boolean {
  if (a.key === b.key) return true;
  const [keyA, keyB] = [parseKey(a.key), parseKey(b.key)];
  return (
    keyA !== undefined &&
    keyB !== undefined &&
    sameSubnets(keyA, keyB) &&
    identityOf(a.attributes) === identityOf(b.attributes)
  );
}

/** The value as flannel's Go code marshals it: same keys, same order, same omissions. */
export function formatAttributes(attributes: LeaseAttributes): string {
  const { publicIp, publicIpv6, backendType, backendData, backendV6Data } = attributes;
  return JSON.stringify({
    PublicIP: publicIp ?? '0.0.0.0',
    PublicIPv6: publicIpv6 ?? null,
    ...(backendType ? { BackendType: backendType } : {}),
    ...(backendData === undefined ? {} : { BackendData: backendData }),
    ...(backendV6Data === undefined ? {} : { BackendV6Data: backendV6Data }),
  });
}

/** Reads a value of the store. Throws RipstopError ELEASE when it is no lease; unknown keys are let through. */
export function parseAttributes(json: string, where: string): LeaseAttributes {
  let raw: unknown;
  try {
    raw = JSON.parse(json);
  } catch (error) {
    throw new RipstopError('ELEASE', `${where}: not JSON: ${messageOf(error)}`);
  }
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw))
    throw new RipstopError('ELEASE', `${where}: not an object`);
  const value = raw as Record<string, unknown>;
  const backendType = value.BackendType ?? '';
  if (typeof backendType !== 'string')
    throw new RipstopError('ELEASE', `${where}: BackendType is not a text`);
  const publicIp = readAddress(value.PublicIP, 4, `${where}: PublicIP`);
  const publicIpv6 = readAddress(value.PublicIPv6, 6, `${where}: PublicIPv6`);
  if (!publicIp && !publicIpv6) throw new RipstopError('ELEASE', `${where}: neither PublicIP nor PublicIPv6`);
  return {
    publicIp,
    publicIpv6,
    backendType: backendType.toLowerCase(),
    backendData: value.BackendData ?? undefined,
    backendV6Data: value.BackendV6Data ?? undefined,
  };
}

/** What is wrong with an entry that is no lease, cut: the entry may be of any size. */
export function unreadableText(error: unknown): string {
  return describeError(error).slice(0, 300);
}

function readAddress(raw: unknown, family: 4 | 6, where: string): string | undefined {
  if (raw === undefined || raw === null || raw === '') return undefined;
  const address = typeof raw === 'string' ? parseAddress(raw) : undefined;
  if (address?.family !== family)
    throw new RipstopError('ELEASE', `${where}: ${JSON.stringify(raw)} is not an IPv${family} address`);
  // A node without IPv4 publishes flannel's zero value.
  return address.value === 0n ? undefined : formatAddress(address);
}

/** What identifies a node in flannel: its public address (the IPv6 one on nodes without IPv4). */
export function identityOf(attributes: LeaseAttributes): string {
  return attributes.publicIp ?? attributes.publicIpv6 ?? '';
}

/** True when two leases are of the same subnets, whatever the store calls them. */
export function sameSubnets(a: Subnets, b: Subnets): boolean {
  const same = (x: Prefix | undefined, y: Prefix | undefined): boolean =>
    (x && formatPrefix(x)) === (y && formatPrefix(y));
  return same(a.v4, b.v4) && same(a.v6, b.v6);
}

/** True when two leases say the same to peers; the key order inside backend data does not count. */
export function sameAttributes(a: LeaseAttributes, b: LeaseAttributes): boolean {
  return (
    a.publicIp === b.publicIp &&
    a.publicIpv6 === b.publicIpv6 &&
    a.backendType === b.backendType &&
    canonicalJson(a.backendData) === canonicalJson(b.backendData) &&
    canonicalJson(a.backendV6Data) === canonicalJson(b.backendV6Data)
  );
}

function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) =>
    typeof part === 'object' && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );
}
