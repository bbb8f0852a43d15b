import { parseAddress } from '../../ip/address.ts';
import { parsePrefix } from '../../ip/prefix.ts';
import { CniError, CODE } from '../skel/errors.ts';
import { ALL_VERSIONS, type CniVersion, isAtLeast } from '../skel/version.ts';
import {
  type AssignedAddress,
  type Dns,
  emptyResult,
  type Interface,
  type Result,
  type ResultRoute,
} from './types.ts';

/**
 * Reads a result of any version into the newest shape: an earlier plugin's `prevResult` or a delegate's answer.
 * A result without `cniVersion` is of the configuration's version (Go library, `fixupResultVersion`).
 * @param where names the result in errors, as in `prevResult`
 * @throws CniError 6 for anything that is no result, 1 for an unknown version
 */
export function decodeResult(raw: unknown, fallback: CniVersion, where: string): Result {
  const source = object(raw, where);
  const named = source.cniVersion === undefined || source.cniVersion === '' ? fallback : source.cniVersion;
  const version = ALL_VERSIONS.find(known => known === named);
  if (!version) {
    throw new CniError(
      CODE.INCOMPATIBLE_VERSION,
      `${where}: unsupported CNI result version ${JSON.stringify(named)}`,
    );
  }
  return isAtLeast(version, '0.3.0') ? decodeLists(source, where) : decodeOldest(source, where);
}

/**
 * The error object that another plugin printed.
 * @param unnamed message of an error without one
 * @throws CniError 6 for anything that is no error object
 */
export function decodeError(raw: unknown, where: string, unnamed = 'error without a message'): CniError {
  const source = object(raw, where);
  const code = optionalNumber(source.code, `${where}.code`) ?? 0;
  const msg = optionalText(source.msg, `${where}.msg`) ?? unnamed;
  return new CniError(code > 0 ? code : CODE.INTERNAL, msg, optionalText(source.details, `${where}.details`));
}

function decodeLists(source: Record<string, unknown>, where: string): Result {
  return {
    interfaces: list(source.interfaces, `${where}.interfaces`, decodeInterface),
    ips: list(source.ips, `${where}.ips`, decodeAddress),
    routes: list(source.routes, `${where}.routes`, decodeRoute),
    dns: decodeDns(source.dns, `${where}.dns`),
  };
}

function decodeOldest(source: Record<string, unknown>, where: string): Result {
  const result = emptyResult();
  for (const key of ['ip4', 'ip6'] as const) {
    if (source[key] === undefined || source[key] === null) continue;
    const family = object(source[key], `${where}.${key}`);
    const gateway = optionalAddress(family.gateway, `${where}.${key}.gateway`);
    result.ips.push({ address: cidr(family.ip, `${where}.${key}.ip`), ...(gateway ? { gateway } : {}) });
    result.routes.push(...list(family.routes, `${where}.${key}.routes`, decodeRoute));
  }
  result.dns = decodeDns(source.dns, `${where}.dns`);
  return result;
}

function decodeInterface(raw: unknown, where: string): Interface {
  const source = object(raw, where);
  const one: Interface = { name: text(source.name, `${where}.name`) };
  for (const key of ['mac', 'sandbox', 'socketPath', 'pciID'] as const) {
    const value = optionalText(source[key], `${where}.${key}`);
    if (value) one[key] = value;
  }
  const mtu = optionalNumber(source.mtu, `${where}.mtu`);
  if (mtu) one.mtu = mtu;
  return one;
}

function decodeAddress(raw: unknown, where: string): AssignedAddress {
  const source = object(raw, where);
  const gateway = optionalAddress(source.gateway, `${where}.gateway`);
  const index = optionalNumber(source.interface, `${where}.interface`);
  return {
    address: cidr(source.address, `${where}.address`),
    ...(gateway ? { gateway } : {}),
    ...(index === undefined ? {} : { interface: index }),
  };
}

export function decodeRoute(raw: unknown, where: string): ResultRoute {
  const source = object(raw, where);
  const route: ResultRoute = { dst: cidr(source.dst, `${where}.dst`) };
  const gw = optionalAddress(source.gw, `${where}.gw`);
  if (gw) route.gw = gw;
  for (const key of ['mtu', 'advmss', 'priority', 'table', 'scope'] as const) {
    const value = optionalNumber(source[key], `${where}.${key}`);
    if (value !== undefined) route[key] = value;
  }
  return route;
}

export function decodeDns(raw: unknown, where: string): Dns {
  if (raw === undefined || raw === null) return {};
  const source = object(raw, where);
  const dns: Dns = {};
  for (const key of ['nameservers', 'search', 'options'] as const) {
    const value = list(source[key], `${where}.${key}`, text);
    if (value.length > 0) dns[key] = value;
  }
  const domain = optionalText(source.domain, `${where}.domain`);
  if (domain) dns.domain = domain;
  return dns;
}

function undecodable(where: string, raw: unknown, wanted: string): never {
  throw new CniError(CODE.DECODE_FAILURE, `${where}: ${JSON.stringify(raw) ?? 'nothing'} is not ${wanted}`);
}

function object(raw: unknown, where: string): Record<string, unknown> {
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) undecodable(where, raw, 'an object');
  return raw as Record<string, unknown>;
}

function list<T>(raw: unknown, where: string, item: (raw: unknown, where: string) => T): T[] {
  if (raw === undefined || raw === null) return [];
  if (!Array.isArray(raw)) undecodable(where, raw, 'a list');
  return raw.map((value, index) => item(value, `${where}[${index}]`));
}

function text(raw: unknown, where: string): string {
  if (typeof raw !== 'string' || raw === '') undecodable(where, raw, 'a text');
  return raw;
}

function optionalText(raw: unknown, where: string): string | undefined {
  return raw === undefined || raw === null || raw === '' ? undefined : text(raw, where);
}

function cidr(raw: unknown, where: string): string {
  const value = text(raw, where);
  return value.includes('/') && parsePrefix(value)
    ? value
    : undecodable(where, raw, 'an address with length');
}

function optionalAddress(raw: unknown, where: string): string | undefined {
  const value = optionalText(raw, where);
  return value === undefined || parseAddress(value) ? value : undecodable(where, raw, 'an address');
}

function optionalNumber(raw: unknown, where: string): number | undefined {
  if (raw === undefined || raw === null) return undefined;
  if (typeof raw !== 'number' || !Number.isInteger(raw)) undecodable(where, raw, 'a whole number');
  return raw;
}
