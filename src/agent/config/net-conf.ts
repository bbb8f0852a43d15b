import { RipstopError } from '../../base/errors.ts';
import { fail, flag, integer, parseJson, readObject, text, withDefault } from '../../base/schema.ts';
import { keyHint } from '../../base/suggest.ts';
import { shorten } from '../../base/text/shorten.ts';
import type { Family } from '../../ip/address.ts';
import type { Prefix } from '../../ip/prefix.ts';
import type { Subnets } from '../lease/lease.ts';
import { type BackendConfig, backendFieldsOf, readBackend } from './backend.ts';
import { readNetwork, readRange, type SubnetRange } from './ranges.ts';
import { type NetworkSettings, readClusterSettings } from './settings.ts';

/** The content of `net-conf.json`, or of the store's `config` key: flannel's schema with its defaults. */
export interface NetworkConfig {
  readonly v4: Prefix | undefined;
  readonly v6: Prefix | undefined;
  /** Ranges to allocate from; undefined with a store that hands out subnets itself (kubernetes). */
  readonly range4: SubnetRange | undefined;
  readonly range6: SubnetRange | undefined;
  /** EnableNFTables as given; undefined: not given. */
  readonly nftables: boolean | undefined;
  readonly backend: BackendConfig;
  readonly settings: NetworkSettings;
  /** Keys of the overlay that only a static file has. */
  readonly single?: SingleOverlay | undefined;
  /** Remarks for the log: unexpected defaults, ignored keys. */
  readonly notes: readonly string[];
}

/** One overlay for the pods of both families, as a static file describes it. */
export interface SingleOverlay {
  /** Family of the underlay addresses. */
  readonly family: Family;
  /** Pod subnets of this node. */
  readonly subnets: Subnets;
  /** Interface or address; undefined: that of the default route. */
  readonly underlay: string | undefined;
  readonly device: string;
  /** MAC of this node's VTEP; undefined: derived from VNI and underlay address. */
  readonly mac: string | undefined;
  /** Bytes of the largest pod packet; undefined: what the underlay leaves. */
  readonly mtu: number | undefined;
}

export interface NetConfOptions {
  /** False with the kubernetes store, where the API server hands out subnets and the range keys mean nothing. */
  ranges?: boolean;
  /** Ignore unknown keys with a note; flannel ignores them silently. */
  tolerateUnknown?: boolean;
}

/** Characters of a configuration; one with every key has about a thousand. */
const NET_CONF_MAX = 64 * 1024;
/** Unknown keys of an object that are named. */
const NAMED_KEYS = 10;

/** Top-level keys besides `Backend`, as flannel names them. */
export const netConfFields = {
  Network: text('an IPv4 CIDR', 'pod network of the cluster'),
  IPv6Network: text('an IPv6 CIDR', 'IPv6 pod network of the cluster'),
  EnableIPv4: withDefault(flag('give every node an IPv4 subnet'), true),
  EnableIPv6: withDefault(flag('give every node an IPv6 subnet'), false),
  EnableNFTables: flag('rules with nftables (true) or iptables (false); absent: nftables'),
  SubnetLen: integer(0, 30, 'prefix length of a node’s subnet; absent or 0: 24, or that of Network + 2'),
  SubnetMin: text('an IPv4 address', 'first subnet to hand out; absent: the second of Network'),
  SubnetMax: text('an IPv4 address', 'last subnet to hand out; absent: the last of Network'),
  IPv6SubnetLen: integer(
    0,
    126,
    'prefix length of a node’s IPv6 subnet; absent or 0: 64, or that of IPv6Network + 2',
  ),
  IPv6SubnetMin: text('an IPv6 address', 'first IPv6 subnet to hand out'),
  IPv6SubnetMax: text('an IPv6 address', 'last IPv6 subnet to hand out'),
};

/**
 * Reads flannel's network configuration. Unknown keys are errors with a suggestion unless tolerated; the case of
 * a key does not count, as in flannel (Go's JSON decoder).
 * @param source where the text came from, for messages: a path or a store key
 * @throws RipstopError ECONFIG
 */
export function parseNetConf(json: string, source: string, options: NetConfOptions = {}): NetworkConfig {
  const notes: string[] = [];
  try {
    if (json.length > NET_CONF_MAX)
      fail('network configuration', `has ${json.length} characters`, `at most ${NET_CONF_MAX} are read`);
    return readNetConf(parseJson(json, 'network configuration'), options, notes);
  } catch (error) {
    if (error instanceof RipstopError && error.code === 'ECONFIG')
      throw new RipstopError('ECONFIG', `${source}: ${error.message}`, error.hint);
    throw error;
  }
}

function readNetConf(raw: unknown, options: NetConfOptions, notes: string[]): NetworkConfig {
  const tolerate = options.tolerateUnknown ?? false;
  const object = requireObject(raw, 'network configuration');
  const top = canonicalKeys(object, [...Object.keys(netConfFields), 'Backend'], '', tolerate, notes);
  const { Backend: backendRaw, ...rest } = top;
  const read = readObject(netConfFields, rest, '');
  const { backend, ripstop } = readBackendKey(backendRaw, tolerate, notes);
  if (!read.EnableIPv4 && !read.EnableIPv6)
    fail('EnableIPv4', 'both families are switched off', 'set EnableIPv4 or EnableIPv6');

  const keys4 = { network: read.Network, length: read.SubnetLen, min: read.SubnetMin, max: read.SubnetMax };
  const keys6 = {
    network: read.IPv6Network,
    length: read.IPv6SubnetLen,
    min: read.IPv6SubnetMin,
    max: read.IPv6SubnetMax,
  };
  const ranges = options.ranges ?? true;
  const range4 = read.EnableIPv4 && ranges ? readRange(4, keys4) : undefined;
  const range6 = read.EnableIPv6 && ranges ? readRange(6, keys6) : undefined;
  if (
    !ranges &&
    (read.SubnetLen || read.SubnetMin || read.SubnetMax || read.IPv6SubnetLen || read.IPv6SubnetMin)
  )
    notes.push('SubnetLen, SubnetMin and SubnetMax mean nothing here: the podCIDR of the Node rules');
  if (backend.type === 'udp' && read.EnableIPv6)
    notes.push('flannel’s udp backend carries IPv4 only: IPv6 is exchanged with Ripstop nodes alone');
  return {
    v4: range4?.network ?? (read.EnableIPv4 ? readNetwork(4, read.Network) : undefined),
    v6: range6?.network ?? (read.EnableIPv6 ? readNetwork(6, read.IPv6Network) : undefined),
    range4,
    range6,
    nftables: read.EnableNFTables,
    backend,
    settings: { origin: 'cluster', ...readClusterSettings(ripstop, 'Backend.Ripstop') },
    notes,
  };
}

/** `ripstop`: the object of our own settings, which flannel ignores. */
function readBackendKey(
  raw: unknown,
  tolerate: boolean,
  notes: string[],
): { backend: BackendConfig; ripstop: unknown } {
  // pkg/subnet/config.go, parseBackendType: absent means udp, although flannel's documentation names vxlan.
  if (raw === undefined) {
    notes.push('Backend is absent: using udp, as flanneld does');
    return { backend: readBackend({ Type: 'udp' }, 'Backend', notes), ripstop: undefined };
  }
  const object = requireObject(raw, 'Backend');
  const typeKey = Object.keys(object).find(key => key.toLowerCase() === 'type');
  if (typeKey === undefined)
    fail('Backend.Type', 'is missing', 'name the backend: udp, vxlan or host-gw (flanneld refuses this too)');
  const fields = backendFieldsOf(object[typeKey], 'Backend.Type');
  const known = [...Object.keys(fields), 'Ripstop'];
  const { Ripstop: ripstop, ...keys } = canonicalKeys(object, known, 'Backend.', tolerate, notes);
  return { backend: readBackend(keys, 'Backend', notes), ripstop };
}

/** Gives every key the spelling of `known`; the rest are errors, or notes when tolerated. */
function canonicalKeys(
  object: Record<string, unknown>,
  known: readonly string[],
  where: string,
  tolerate: boolean,
  notes: string[],
): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  let unknown = 0;
  for (const [key, value] of Object.entries(object)) {
    const canonical = known.find(candidate => candidate.toLowerCase() === key.toLowerCase());
    if (canonical !== undefined) {
      if (Object.hasOwn(result, canonical))
        fail(`${where}${key}`, `is given twice (the case of a key does not count)`);
      result[canonical] = value;
      continue;
    }
    if (++unknown > NAMED_KEYS) continue;
    const hint = keyHint(key, known);
    if (tolerate) notes.push(`${where}${shorten(key, 100)}: unknown key ignored; ${hint}`);
    else fail(`${where}${key}`, 'unknown key', `${hint} (--tolerate-unknown-keys ignores it)`);
  }
  if (unknown > NAMED_KEYS) notes.push(`${unknown - NAMED_KEYS} more unknown keys ignored`);
  return result;
}

function requireObject(raw: unknown, where: string): Record<string, unknown> {
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) fail(where, 'must be a JSON object');
  return raw as Record<string, unknown>;
}
