import { readFileSync } from 'node:fs';
import { codeOf, RipstopError } from '../../../base/errors.ts';
import { fail, readObject, type Shape } from '../../../base/schema.ts';
import { parseYaml } from '../../../base/text/yaml.ts';
import { type Family, parseAddress } from '../../../ip/address.ts';
import { contains, formatPrefix, type Prefix, parsePrefix, requirePrefix } from '../../../ip/prefix.ts';
import { UDP_PORT, VXLAN_PORT } from '../../config/backend.ts';
import type { NetworkConfig } from '../../config/net-conf.ts';
import {
  SETTING_NAMES,
  type SettingLayer,
  type SettingName,
  type SettingValue,
} from '../../config/settings.ts';
import { formatUdpData, formatVxlanData } from '../../lease/backend-data.ts';
import { formatKey, type Lease, type LeaseAttributes, type Subnets } from '../../lease/lease.ts';
import { fileFields, type networkFields, type peerFields } from './fields.ts';
import { vtepMac } from './vtep-mac.ts';

/** Where `ip netns` keeps the namespaces that have names. */
const NAMED_NAMESPACES = '/run/netns';

type NetworkKeys = Shape<typeof networkFields>;
export type FilePeer = Shape<typeof peerFields>;

/** The file of `ripstop run`, read and checked. What depends on the machine (underlay, MTU, own MAC) is resolved later. */
export interface StaticFile extends Omit<NetworkKeys, 'port' | 'device' | 'namespace'> {
  readonly port: number;
  readonly device: string;
  /** Path of the network namespace, '' for that of the process. */
  readonly namespace: string;
  /** Settings of the data plane that the file gives. */
  readonly settings: SettingLayer;
}

/** The text of a file, or of standard input for `-`. @throws RipstopError with the errno name */
export function readText(path: string): string {
  try {
    return readFileSync(path === '-' ? 0 : path, 'utf8');
  } catch (error) {
    const code = codeOf(error, 'EIO');
    throw new RipstopError(code, `${path}: cannot be read (${code})`, undefined, { cause: error });
  }
}

/** @throws RipstopError ECONFIG, with line and column for what is not YAML */
export function parseStaticFile(source: string, path: string): StaticFile {
  try {
    return complete(parseYaml(source) ?? {});
  } catch (error) {
    if (!(error instanceof RipstopError)) throw error;
    throw new RipstopError(error.code, `${path}: ${error.message}`, error.hint, { cause: error });
  }
}

function complete(raw: unknown): StaticFile {
  const read = readObject(fileFields, raw, '') as NetworkKeys & Record<string, unknown>;
  const { mode, vni, peers, subnets, networks, underlay, mac, mtu } = read;
  const names = new Set<string>();
  for (const [index, { name }] of peers.entries()) {
    if (names.has(name)) fail(`peers[${index}].name`, `a second peer "${name}"`, 'names are unique');
    names.add(name);
  }
  checkNetworks(read);
  return {
    ...{ mode, vni, peers, subnets, networks, underlay, mac, mtu },
    port: read.port ?? (mode === 'vxlan' ? VXLAN_PORT : UDP_PORT),
    device: read.device ?? (mode === 'vxlan' ? `flannel.${vni}` : 'flannel0'),
    namespace: namespacePath(read.namespace),
    settings: settingsOf(read),
  };
}

/** Holds subnets and addresses against `networks`. */
function checkNetworks({ mode, subnets, networks, peers, underlay }: NetworkKeys): void {
  const prefixes = networks.map(requirePrefix);
  const owners = [
    { where: '', subnets },
    ...peers.map((peer, index) => ({ where: `peers[${index}].`, subnets: peer.subnets })),
  ];
  for (const { where, subnets } of owners)
    for (const [index, text] of subnets.entries()) {
      const subnet = requirePrefix(text);
      const network = prefixes.find(({ family }) => family === subnet.family);
      if (network && !contains(network, subnet))
        fail(
          `${where}subnets[${index}]`,
          `${text} is outside the pod network ${formatPrefix(network)}`,
          'correct networks, or leave it out to allow any subnet',
        );
    }
  if (mode !== 'udp') return;
  // The networks are routed to the device: datagrams to a node inside of one would enter the tunnel again.
  const nodes = peers.map(({ address }, index) => ({ where: `peers[${index}].address`, address }));
  nodes.push({ where: 'underlay', address: underlay });
  for (const { where, address } of nodes) {
    // The underlay of this node may also be given by the name of its interface.
    const host = parseAddress(address);
    const network = host && prefixes.find(candidate => contains(candidate, host));
    if (network)
      fail(
        where,
        `${address} lies in the pod network ${formatPrefix(network)}`,
        'nodes need addresses outside of it',
      );
  }
}

function settingsOf(read: Readonly<Record<string, unknown>>): SettingLayer {
  const offloads = Object(read.offloads) as Record<string, unknown>;
  const layer = new Map<SettingName, SettingValue>();
  for (const name of SETTING_NAMES) {
    const value = name.startsWith('offloads.') ? offloads[name.slice('offloads.'.length)] : read[name];
    if (value !== undefined) layer.set(name, value as SettingValue);
  }
  return layer;
}

function namespacePath(text: string): string {
  return text === '' || text.includes('/') ? text : `${NAMED_NAMESPACES}/${text}`;
}

/** The family of the underlay: that of the address of this node, else of the peers; IPv4 without either. */
export function underlayFamily({ underlay, peers }: StaticFile): Family {
  return parseAddress(underlay)?.family ?? (peers[0]?.address.includes(':') ? 6 : 4);
}

function ofFamily(texts: readonly string[], family: Family): Prefix | undefined {
  const text = texts.find(candidate => candidate.includes(':') === (family === 6));
  return text === undefined ? undefined : parsePrefix(text);
}

/** Own and peers' subnets of a file, by family. */
function subnetsOf(texts: readonly string[]): Subnets {
  return { v4: ofFamily(texts, 4), v6: ofFamily(texts, 6) };
}

/**
 * The lease of this node. The names of peers, which are the keys of their leases, contain no `@`: no peer can have the key of
 * this lease. Since the key is not a subnet, each lease counts as one node.
 */
export function ownLease(file: StaticFile, attributes: LeaseAttributes, node: string | undefined): Lease {
  const subnets = subnetsOf(file.subnets);
  return { key: `self@${formatKey(subnets)}`, ...subnets, attributes, expiresAt: 0, node };
}

/** The network of a file in the form that the agent takes from every store. */
export function networkConfigOf(file: StaticFile): NetworkConfig {
  const { mode, vni, port, networks, subnets, underlay, mac, mtu, device, settings } = file;
  // Without a network of the cluster every subnet is inside.
  const network = (family: Family): Prefix | undefined =>
    ofFamily(networks, family) ?? (ofFamily(subnets, family) && { family, value: 0n, length: 0 });
  return {
    v4: network(4),
    v6: network(6),
    range4: undefined,
    range6: undefined,
    nftables: undefined,
    backend:
      mode === 'udp'
        ? { type: 'udp', port }
        : { type: 'vxlan', vni, port, mtu: 0, gbp: false, learning: false, directRouting: false },
    settings: { origin: 'file', values: settings, faults: [] },
    single: {
      family: underlayFamily(file),
      subnets: subnetsOf(subnets),
      underlay: underlay === 'auto' ? undefined : underlay,
      device,
      mac,
      mtu: mtu === 'auto' ? undefined : mtu,
    },
    notes: [],
  };
}

/** The lease of a peer of a file: it does not end, and its MAC is the derived one unless the file names another. */
export function peerLease(
  { name, address, subnets, mac, remoteChecksum, offloadProofs }: FilePeer,
  file: StaticFile,
): Lease {
  const isV6 = address.includes(':');
  const data =
    file.mode === 'udp'
      ? formatUdpData(offloadProofs)
      : formatVxlanData({
          vni: file.vni,
          mac: mac ?? vtepMac(file.vni, address),
          ...{ remoteChecksum, offloadProofs },
        });
  return {
    key: name,
    ...subnetsOf(subnets),
    attributes: {
      publicIp: isV6 ? undefined : address,
      publicIpv6: isV6 ? address : undefined,
      backendType: file.mode,
      backendData: isV6 ? undefined : data,
      backendV6Data: isV6 ? data : undefined,
    },
    expiresAt: 0,
    node: name,
  };
}
