import { RipstopError } from '../../base/errors.ts';
import { anyValue, type Field, fail, openObject, parseJson, readAs, text } from '../../base/schema.ts';
import { type Address, type Family, formatAddress, parseAddress } from '../../ip/address.ts';
import { formatPrefix, isNetwork, type Prefix, parsePrefix } from '../../ip/prefix.ts';

/** What a node publishes besides its subnet; flannel's LeaseAttrs. */
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
   * only the store has the time.
   */
  readonly expiresAt: number | undefined;
  /**
   * The holder, if it is alive according to the store: `name/boot id`, or the name of a Kubernetes Node. Undefined
   * for a lease of flannel, and for one whose holder has no recent heartbeat.
   */
  readonly node: string | undefined;
  /** True: the store reports that the holder is gone, or not ready. */
  readonly isGone?: boolean;
  /** True: the store lost the lease, and it is kept for a while. A lease that the store has takes precedence. */
  readonly isKept?: boolean;
  /** What the end of this node's own lease depends on in the store (etcd's lease id): another one is another end. */
  readonly term?: string;
  /** Age, comparable within one store: smaller is older. Undefined where the store does not have it. */
  readonly since?: number | undefined;
}

/** The subnets for a message, `10.5.34.0/24 and fc00:0:0:5::/64`: the key may be the name of a Kubernetes Node. */
export function describeSubnets(lease: Subnets | undefined): string {
  return [lease?.v4, lease?.v6].flatMap(subnet => (subnet ? formatPrefix(subnet) : [])).join(' and ');
}

/**
 * True for a key that an operator reserves for the node of an address, as flannel's documentation describes it: without
 * backend and without an end. No node has taken it yet.
 */
export function isReservation({ attributes, expiresAt }: Lease): boolean {
  const { backendType, backendData, backendV6Data } = attributes;
  return expiresAt === 0 && backendType === '' && backendData === undefined && backendV6Data === undefined;
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

/** Reads a key (the last component of a path in the store); undefined when it names no subnet. */
export function parseKey(key: string): Subnets | undefined {
  const [, text4, text6] = /^(\d+\.\d+\.\d+\.\d+-\d+)(?:&([0-9a-f:]+-\d+))?$/.exec(key) ?? [];
  if (text4 === undefined) return undefined;
  const halves = [text4 === NO_IPV4 && text6 !== undefined ? undefined : text4, text6];
  const [v4, v6] = halves.map(text => text && parsePrefix(text.replace('-', '/')));
  const isWrong = (half: typeof v4, family: Family, text: string | undefined): boolean =>
    text !== undefined && !(half && half.family === family && half.length > 0 && isNetwork(half));
  if (isWrong(v4, 4, halves[0]) || isWrong(v6, 6, halves[1])) return undefined;
  return { v4: v4 || undefined, v6: v6 || undefined };
}

/** The value as flannel's Go code marshals it: same keys, same order, same omissions. */
export function formatAttributes(attributes: LeaseAttributes): string {
  return JSON.stringify(attributesJson(attributes));
}

/** The JSON value that `formatAttributes` writes. */
export function attributesJson(attributes: LeaseAttributes): object {
  const { publicIp, publicIpv6, backendType, backendData, backendV6Data } = attributes;
  return {
    PublicIP: publicIp ?? '0.0.0.0',
    PublicIPv6: publicIpv6 ?? null,
    ...(backendType ? { BackendType: backendType } : {}),
    ...(backendData === undefined ? {} : { BackendData: backendData }),
    ...(backendV6Data === undefined ? {} : { BackendV6Data: backendV6Data }),
  };
}

const attributeFields = openObject(
  {
    PublicIP: address(4),
    PublicIPv6: address(6),
    BackendType: text('the name of a backend', '', /^[\w.-]{0,63}$/),
    BackendData: anyValue(),
    BackendV6Data: anyValue(),
  },
  'attributes of a lease',
);

/** Characters of the attributes of a lease that are read; flannel's backends write less than 1000. */
export const LEASE_MAX = 16 * 1024;

/** Reads a value of the store; unknown keys are ignored. @throws RipstopError ELEASE */
export function parseAttributes(json: string, where: string): LeaseAttributes {
  if (json.length > LEASE_MAX) throw tooLarge(where, json.length);
  return readAttributes(
    readAs('ELEASE', () => parseJson(json, where)),
    where,
  );
}

/** As `parseAttributes`, of a value that was parsed. @throws RipstopError ELEASE */
export function readAttributes(raw: unknown, where: string): LeaseAttributes {
  const read = readAs('ELEASE', () => attributeFields.read(raw, where));
  // A node without IPv4 publishes flannel's zero value.
  const [publicIp, publicIpv6] = [read.PublicIP, read.PublicIPv6].map(address =>
    address?.value ? formatAddress(address) : undefined,
  );
  if (!publicIp && !publicIpv6) throw new RipstopError('ELEASE', `${where}: neither PublicIP nor PublicIPv6`);
  return {
    ...{ publicIp, publicIpv6 },
    backendType: (read.BackendType ?? '').toLowerCase(),
    backendData: read.BackendData,
    backendV6Data: read.BackendV6Data,
  };
}

/** The error for attributes of more than `LEASE_MAX` characters. */
export function tooLarge(where: string, size: number | 'more'): RipstopError {
  const found = size === 'more' ? 'more than a lease' : `${size} characters`;
  return new RipstopError('ELEASE', `${where}: has ${found}, at most ${LEASE_MAX} are read`);
}

/** An address of one family; undefined for ''. */
function address(family: 4 | 6): Field<Address | undefined> {
  const type = `an IPv${family} address`;
  return {
    ...{ type, doc: '' },
    read(raw, where) {
      if (raw === '') return undefined;
      const address = typeof raw === 'string' ? parseAddress(raw) : undefined;
      if (address?.family !== family) fail(where, `${JSON.stringify(raw)} is not ${type}`);
      return address;
    },
  };
}

/** Another live node uses the public address of this one. @param holder its name, or `name/boot id` @param where address or key */
export function addressInUse(holder: string, where: string): RipstopError {
  return new RipstopError(
    'EINUSE',
    `node ${holder.split('/')[0]} is alive under the same public address (${where})`,
    'two nodes cannot share an address: choose another with --iface or --public-ip, or stop the other node',
  );
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

/** True when two leases are the same for peers; the key order inside backend data does not count. */
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
