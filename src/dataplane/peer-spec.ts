import type { Encapsulation, Family } from '../../encap/encap.ts';
import { FORMATS } from '../../encap/formats.ts';
import { familyOf, parseIp, parseMac, viewOf, words } from '../../encap/wire/addresses.ts';
import { RipstopError } from '../base/errors.ts';
import type { Mac } from './tables/fdb.ts';
import type { Subnet } from './tables/subnet.ts';
import type { PeerInput } from './tables/writer.ts';

/** A remote node, as configuration and leases name it. */
export interface PeerSpec {
  /** Stays the peer's while it lives; counters hang on it. */
  readonly id: string;
  /** Underlay address. */
  readonly address: string;
  /** UDP port, when it is not the overlay's. */
  readonly port?: number | undefined;
  /** MAC of its VTEP (vxlan). */
  readonly mac?: string | undefined;
  /** CIDRs that it owns. */
  readonly subnets: readonly string[];
  /** Its own addresses beside `address`, at most one per family: it may send from them as from its subnets. */
  readonly hosts?: readonly string[] | undefined;
  /** Interface index of a link-local underlay address. */
  readonly scope?: number | undefined;
  /**
   * Both ends leave inner checksums open for each other (vxlan): nobody sums payload on the way, the outer UDP checksum
   * covers it. Only between nodes that both know it; a kernel peer needs `remcsumtx` and `remcsumrx`.
   */
  readonly remoteChecksum?: boolean | undefined;
}

/** What every peer of one overlay shares. */
export interface PeerDefaults {
  readonly format: Encapsulation;
  readonly vni: number;
  readonly port: number;
  readonly pathMtu: number;
  readonly innerMtu: number;
}

/** What an overlay demands of its peers and gives them; part of `DataPlaneOptions`. */
export interface OverlayRules {
  readonly mode: keyof typeof FORMATS;
  /** Own underlay address: the peers' have its family. */
  readonly address: string;
  readonly vni: number;
  readonly port: number;
  readonly underlayMtu: number;
  readonly mtu: number;
}

/** Underlay address as 16 bytes, IPv4 mapped. Throws ECONFIG. */
export function underlayBytes(address: string, where: string): Uint8Array {
  const bytes = parseIp(address);
  if (bytes) return bytes;
  throw new RipstopError('ECONFIG', `${where}: ${JSON.stringify(address)} is not an IP address`);
}

/** MAC text as the two words of the tables. Throws ECONFIG. */
export function packMac(mac: string, where: string): Mac {
  const bytes = parseMac(mac);
  if (!bytes)
    throw new RipstopError(
      'ECONFIG',
      `${where}: ${JSON.stringify(mac)} is not a MAC address`,
      'write aa:bb:cc:dd:ee:ff',
    );
  return { hi: viewOf(bytes).getUint16(0), lo: viewOf(bytes).getInt32(2) };
}

/** A peer as the tables want it. Throws ECONFIG. */
export function peerInput(spec: PeerSpec, defaults: PeerDefaults): PeerInput {
  const where = `peer ${spec.id}`;
  const address = underlayBytes(spec.address, where);
  return {
    id: spec.id,
    family: familyOf(viewOf(address), 0),
    address,
    port: spec.port ?? defaults.port,
    scope: spec.scope,
    pathMtu: defaults.pathMtu,
    innerMtu: defaults.innerMtu,
    header: defaults.format.header(defaults.vni),
    remoteChecksum: defaults.format.name === 'vxlan' && spec.remoteChecksum === true,
    mac: spec.mac === undefined ? undefined : packMac(spec.mac, where),
    ...hostWords([spec.address, ...(spec.hosts ?? [])], where),
    subnets: spec.subnets.map(cidr => subnetOf(cidr, where)),
  };
}

/** Own addresses of a peer as its record has them. A link-local one is no source of routed packets. Throws ECONFIG. */
function hostWords(addresses: readonly string[], where: string): Pick<PeerInput, 'host4' | 'host6'> {
  let host4: number | undefined;
  let host6: number[] | undefined;
  for (const address of addresses) {
    const view = viewOf(underlayBytes(address, where));
    const all = words(view, 0);
    if (familyOf(view, 0) === 4) host4 ??= all[3]!;
    else if ((view.getUint16(0) & 0xffc0) !== 0xfe80) host6 ??= [...all];
  }
  return { ...(host4 === undefined ? {} : { host4 }), ...(host6 ? { host6 } : {}) };
}

/** The peers of one overlay as its tables want them. Who is told again unchanged stays the same object, and its claims known. */
export class PeerInputs {
  readonly #overlay: OverlayRules;
  readonly #known = new Map<string, { spec: PeerSpec; input: PeerInput }>();

  constructor(overlay: OverlayRules) {
    this.#overlay = overlay;
  }

  /** All peers: who is not among them is forgotten. @throws RipstopError ECONFIG */
  of(specs: readonly PeerSpec[]): PeerInput[] {
    const inputs = specs.map(spec => this.one(spec));
    const ids = new Set(specs.map(({ id }) => id));
    for (const id of this.#known.keys()) if (!ids.has(id)) this.#known.delete(id);
    return inputs;
  }

  /** One peer. @throws RipstopError ECONFIG */
  one(spec: PeerSpec): PeerInput {
    const known = this.#known.get(spec.id);
    if (known && isSame(known.spec, spec)) return known.input;
    const input = this.#input(spec);
    this.#known.set(spec.id, { spec, input });
    return input;
  }

  forget(id: string): void {
    this.#known.delete(id);
  }

  #input(spec: PeerSpec): PeerInput {
    const { mode, address, vni, port, underlayMtu: pathMtu, mtu: innerMtu } = this.#overlay;
    const input = peerInput(spec, { format: FORMATS[mode], vni, port, pathMtu, innerMtu });
    const family: Family = address.includes(':') ? 6 : 4;
    if (input.family !== family)
      throw new RipstopError(
        'ECONFIG',
        `peer ${spec.id}: ${spec.address} is no IPv${family} address`,
        'give it the family of the own address',
      );
    if (mode === 'vxlan' && !input.mac)
      throw new RipstopError('ECONFIG', `peer ${spec.id}: no VTEP MAC`, 'vxlan needs the MAC of every peer');
    return input;
  }
}

function isSame(a: PeerSpec, b: PeerSpec): boolean {
  return (
    a.address === b.address &&
    a.port === b.port &&
    a.mac === b.mac &&
    a.scope === b.scope &&
    a.remoteChecksum === b.remoteChecksum &&
    isSameList(a.subnets, b.subnets) &&
    isSameList(a.hosts ?? [], b.hosts ?? [])
  );
}

function isSameList(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((text, at) => text === b[at]);
}

function subnetOf(cidr: string, where: string): Subnet {
  const [text = '', bits = ''] = cidr.split('/');
  const address = parseIp(text);
  const family = address ? familyOf(viewOf(address), 0) : 4;
  const length = /^\d{1,3}$/.test(bits) ? Number(bits) : -1;
  if (!address || length < 0 || length > (family === 4 ? 32 : 128))
    throw new RipstopError(
      'ECONFIG',
      `${where}: ${JSON.stringify(cidr)} is not a subnet`,
      'write 10.244.1.0/24 or fd00:1::/64',
    );
  const all = words(viewOf(address), 0);
  return { family, words: family === 4 ? [all[3]] : all, length };
}
