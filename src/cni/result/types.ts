import {
  type Field,
  type Fields,
  fail,
  integer,
  listOf,
  required,
  type Shape,
  text,
} from '../../base/schema.ts';
import { parseAddress } from '../../ip/address.ts';
import { parsePrefix } from '../../ip/prefix.ts';
import { readIgnoringUnknown } from '../config/ignore-unknown.ts';

/*
 * A result in the shape of version 1.1 (specification, "ADD Success"). `encode.ts` and `decode.ts` convert it to and from every
 * other version.
 */

/** An object without the keys whose value is undefined or an empty text: they mean the same as absent ones. */
export function given<T extends object>(source: T): Given<T> {
  const isGiven = (value: unknown) => value !== undefined && value !== '';
  return Object.fromEntries(Object.entries(source).filter(([, value]) => isGiven(value))) as Given<T>;
}

type Given<T> = { [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
  [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>;
};

const objectOf = <F extends Fields>(fields: F, doc: string): Field<Given<Shape<F>>> => ({
  type: 'object',
  doc,
  read: (raw, where) => given(readIgnoringUnknown(fields, raw, where)),
});

const number = (doc: string) => integer(-(2 ** 31), 2 ** 32 - 1, doc);
const texts = (doc: string) => listOf(text('a text', doc, /./), doc);

const cidr: Field<string> = {
  type: 'an address with length',
  doc: 'an address with the length of its subnet',
  read: (raw, where) =>
    typeof raw === 'string' && raw.includes('/') && parsePrefix(raw)
      ? raw
      : fail(where, `${JSON.stringify(raw)} is not an address with length`),
};

const address: Field<string> = {
  type: 'an address',
  doc: 'an address without length',
  read: (raw, where) =>
    typeof raw === 'string' && (raw === '' || parseAddress(raw))
      ? raw
      : fail(where, `${JSON.stringify(raw)} is not an address`),
};

const interfaceField = objectOf(
  {
    name: required(text('a name', 'name of the interface', /./)),
    mac: text('a MAC address', 'MAC address'),
    mtu: number('MTU, bytes; since 1.1'),
    sandbox: text('a path', 'namespace of the interface; absent: that of the node'),
    socketPath: text('a path', 'socket of the interface; since 1.1'),
    pciID: text('an id', 'PCI device; since 1.1'),
  },
  'an interface that a plugin made or uses',
);
const ipField = objectOf(
  {
    address: required(cidr),
    gateway: address,
    interface: number('index into `interfaces`; absent in what IPAM plugins return'),
  },
  'an address of the pod',
);
const routeField = objectOf(
  {
    dst: required(cidr),
    // Absent: the gateway of the address of the same family.
    gw: address,
    mtu: number('MTU, bytes; since 1.1, as all of the following'),
    advmss: number('advertised MSS, bytes'),
    priority: number('metric'),
    table: number('routing table'),
    scope: number('scope'),
  },
  'a route to install in the container',
);
export const routesField = listOf(routeField, 'routes of the pod');

/** Resolver settings, as in network configurations. */
export const dnsField = objectOf(
  {
    nameservers: texts('DNS servers, in order of preference'),
    domain: text('a domain', 'local domain for short names'),
    search: texts('search domains'),
    options: texts('resolver options'),
  },
  'resolver settings',
);

export const resultFields = {
  interfaces: listOf(interfaceField, 'interfaces'),
  ips: listOf(ipField, 'addresses'),
  routes: routesField,
  dns: dnsField,
};

/** Before 0.3.0: one address per family, each with its routes. */
const familyField = objectOf({ ip: required(cidr), gateway: address, routes: routesField }, 'an address');
export const oldestFields = { ip4: familyField, ip6: familyField, dns: dnsField };

export const errorFields = {
  code: number('code of the error'),
  msg: text('a text', 'what failed'),
  details: text('a text', 'why'),
};

export type Interface = ReturnType<typeof interfaceField.read>;
export type AssignedAddress = ReturnType<typeof ipField.read>;
export type ResultRoute = ReturnType<typeof routeField.read>;
export type Dns = ReturnType<typeof dnsField.read>;

export interface Result {
  interfaces: Interface[];
  ips: AssignedAddress[];
  routes: ResultRoute[];
  dns: Dns;
}

export function emptyResult(): Result {
  return { interfaces: [], ips: [], routes: [], dns: {} };
}

/** True for an address, CIDR or prefix of IPv6. */
export function isV6(address: string): boolean {
  return address.includes(':');
}

/** The address of a CIDR, without the length. */
export function hostPart(cidr: string): string {
  return cidr.replace(/\/.*$/, '');
}
