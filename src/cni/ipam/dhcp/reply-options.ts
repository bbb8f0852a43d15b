import { addressText } from '../../../net/address-bytes.ts';
import type { Result, ResultRoute } from '../../result/types.ts';
import { OPTION, type Options } from './message.ts';

/** Times of a lease, seconds from the acknowledgement. */
interface LeaseTimes {
  lease: number;
  /** When the server that gave it is asked to renew. */
  t1: number;
  /** When any server is asked. */
  t2: number;
}

const DEFAULT_LEASE_S = 3600;
/** "For ever" (RFC 2131 section 3.3). */
export const INFINITE_S = 0xffffffff;

function number32(options: Options, code: number): number | undefined {
  const value = options.get(code);
  return value?.length === 4 ? new DataView(value.buffer, value.byteOffset).getUint32(0) : undefined;
}

/** RFC 2131 section 4.4.5: T1 is half of the lease and T2 seven eighths unless the server says otherwise, in order. */
export function leaseTimes(options: Options): LeaseTimes {
  const lease = number32(options, OPTION.LEASE_SECONDS) ?? DEFAULT_LEASE_S;
  const t1 = number32(options, OPTION.T1_SECONDS) ?? Math.floor(lease / 2);
  const t2 = number32(options, OPTION.T2_SECONDS) ?? Math.floor(lease * 0.875);
  const ordered = t1 > 0 && t1 < t2 && t2 < lease;
  return ordered ? { lease, t1, t2 } : { lease, t1: Math.floor(lease / 2), t2: Math.floor(lease * 0.875) };
}

function addresses(value: Uint8Array | undefined): string[] {
  const list: string[] = [];
  for (let at = 0; value && at + 4 <= value.length; at += 4)
    list.push(addressText(value.subarray(at, at + 4)));
  return list;
}

function maskLength(mask: Uint8Array | undefined): number {
  if (mask?.length !== 4) return 32;
  const bits = [...mask].map(byte => byte.toString(2).padStart(8, '0')).join('');
  return bits.indexOf('0') < 0 ? 32 : bits.indexOf('0');
}

/** Classless routes (RFC 3442): length, as many bytes of the destination as it has, gateway. */
export function classlessRoutes(value: Uint8Array | undefined): ResultRoute[] {
  const routes: ResultRoute[] = [];
  if (!value) return routes;
  for (let at = 0; ; ) {
    const length = value[at];
    if (length === undefined) break;
    const bytes = Math.ceil(length / 8);
    if (length > 32 || at + 1 + bytes + 4 > value.length) break;
    const destination = new Uint8Array(4);
    destination.set(value.subarray(at + 1, at + 1 + bytes));
    at += 1 + bytes;
    const gateway = addressText(value.subarray(at, at + 4));
    at += 4;
    const dst = `${addressText(destination)}/${length}`;
    routes.push(gateway === '0.0.0.0' ? { dst, scope: 253 } : { dst, gw: gateway });
  }
  return routes;
}

/** Static routes by class (option 33): pairs of destination and gateway. */
function classfulRoutes(value: Uint8Array | undefined): ResultRoute[] {
  const list = addresses(value);
  const routes: ResultRoute[] = [];
  for (const [at, destination] of list.entries()) {
    const gw = list[at + 1];
    if (at % 2 === 1 || gw === undefined) continue;
    const first = Number.parseInt(destination, 10);
    routes.push({ dst: `${destination}/${first < 128 ? 8 : first < 192 ? 16 : 24}`, gw });
  }
  return routes;
}

const words = (value: Uint8Array | undefined) =>
  Buffer.from(value ?? [])
    .toString('latin1')
    .replaceAll('\0', '')
    .trim();

/** Search domains (RFC 3397): names in DNS form, with pointers back. */
export function searchDomains(value: Uint8Array | undefined): string[] {
  const names: string[] = [];
  if (!value) return names;
  for (let at = 0; at < value.length; ) {
    const { name, next } = readName(value, at);
    if (name) names.push(name);
    if (next <= at) break;
    at = next;
  }
  return names;
}

function readName(bytes: Uint8Array, start: number): { name: string; next: number } {
  const labels: string[] = [];
  let next = 0;
  let at = start;
  // Each step goes on or back once; a circle of pointers ends with the count.
  for (let steps = 0; steps < 128; steps++) {
    const length = bytes[at];
    if (length === undefined) break;
    if (length === 0) return { name: labels.join('.'), next: next || at + 1 };
    if (length >= 0xc0) {
      next ||= at + 2;
      at = ((length & 0x3f) << 8) | (bytes[at + 1] ?? 0);
      continue;
    }
    labels.push(Buffer.from(bytes.subarray(at + 1, at + 1 + length)).toString('latin1'));
    at += 1 + length;
  }
  return { name: '', next: bytes.length };
}

/** The CNI result of a lease. Classless routes replace the other routes and the router (RFC 3442). */
export function leaseResult(yourIp: string, options: Options, priority: number): Result {
  const [gateway] = addresses(options.get(OPTION.ROUTER));
  const classless = classlessRoutes(options.get(OPTION.CLASSLESS_ROUTES));
  const others = [
    ...classfulRoutes(options.get(OPTION.STATIC_ROUTES)),
    ...(gateway ? [{ dst: '0.0.0.0/0', gw: gateway }] : []),
  ];
  const routes = (classless.length > 0 ? classless : others).map(one =>
    priority ? { ...one, priority } : one,
  );
  const nameservers = addresses(options.get(OPTION.DNS));
  const domain = words(options.get(OPTION.DOMAIN));
  const search = searchDomains(options.get(OPTION.DOMAIN_SEARCH));
  return {
    interfaces: [],
    ips: [
      {
        address: `${yourIp}/${maskLength(options.get(OPTION.SUBNET_MASK))}`,
        ...(gateway ? { gateway } : {}),
      },
    ],
    routes,
    dns: {
      ...(nameservers.length > 0 ? { nameservers } : {}),
      ...(domain ? { domain } : {}),
      ...(search.length > 0 ? { search } : {}),
    },
  };
}
