/** One interface that a plugin made or uses (specification 1.1, "ADD Success"). */
export interface Interface {
  name: string;
  mac?: string;
  /** Bytes; since 1.1. */
  mtu?: number;
  /** Path of the namespace, or '' for the host's. */
  sandbox?: string;
  socketPath?: string;
  pciID?: string;
}

export interface AssignedAddress {
  /** CIDR: the address with the length of its subnet. */
  address: string;
  gateway?: string;
  /** Index into `interfaces`; absent in what IPAM plugins return. */
  interface?: number;
}

/** A route to install in the container; `gw` absent: the gateway of the address of the same family. */
export interface ResultRoute {
  dst: string;
  gw?: string;
  /** Since 1.1. */
  mtu?: number;
  advmss?: number;
  priority?: number;
  table?: number;
  scope?: number;
}

export interface Dns {
  nameservers?: string[];
  domain?: string;
  search?: string[];
  options?: string[];
}

/** A result in the newest shape; `encode.ts` and `decode.ts` turn it into every other version and back. */
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
