import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { LineCounter, parseDocument } from 'yaml';
import { macText } from '../../../encap/wire/addresses.ts';
import { codeOf, RipstopError } from '../../base/errors.ts';
import { readObject, type Shape } from '../../base/schema.ts';
import type { Peer } from '../../dataplane/descriptor/peer.ts';
import { canonicalAddress } from '../../ip/address.ts';
import { covers, requirePrefix } from '../../ip/prefix.ts';
import { NAMED_NAMESPACES } from '../../net/namespaces.ts';
import { nodeFields, type peerFields } from './fields.ts';
import { findOverlap, type OwnedSubnet } from './overlaps.ts';

/** UDP ports of flannel's backends on Linux. */
const DEFAULT_PORT = { vxlan: 8472, udp: 8285 } as const;

type RawConfig = Shape<typeof nodeFields>;
type RawPeer = Shape<typeof peerFields>;

/** A peer, whole: what was left out is derived. `mac` is set in vxlan mode. */
export interface NodePeer {
  readonly id: string;
  readonly address: string;
  readonly subnets: readonly string[];
  readonly mac: string | undefined;
  readonly remoteChecksum: boolean;
  readonly port: number | undefined;
}

/** As kernel state and data plane take it. */
export function peerOf(peer: NodePeer): Peer {
  return { ...peer, subnets: peer.subnets.map(requirePrefix) };
}

/** A checked configuration. What depends on the machine (underlay, MTU, own MAC) is settled at start. */
export interface NodeConfig extends Omit<RawConfig, 'peers' | 'port' | 'device' | 'namespace'> {
  readonly peers: readonly NodePeer[];
  readonly port: number;
  readonly device: string;
  /** Path of the network namespace, '' for the own one. */
  readonly namespace: string;
}

/**
 * MAC of a VTEP from what identifies it: every Ripstop node derives the same one for a peer, so that a static list of
 * peers needs no MAC. Unicast and locally administered (bits 0 and 1 of the first byte, IEEE 802).
 * @param address underlay address that the peer is known by
 */
export function vtepMac(vni: number, address: string): string {
  const digest = createHash('sha256')
    .update(`ripstop vtep ${vni} ${canonicalAddress(address)}`)
    .digest();
  const bytes = new Uint8Array(digest.subarray(0, 6));
  bytes[0] = (bytes[0]! & 0xfc) | 0x02;
  return macText(bytes);
}

/** Reads and checks a file. @throws RipstopError ECONFIG (with line and column for what is no YAML), or the errno name */
export function readNodeConfig(path: string): NodeConfig {
  let source: string;
  try {
    source = readFileSync(path === '-' ? 0 : path, 'utf8');
  } catch (error) {
    const code = codeOf(error, 'EIO');
    throw new RipstopError(code, `${path}: cannot be read (${code})`, undefined, { cause: error });
  }
  try {
    return parseNodeConfig(source);
  } catch (error) {
    if (!(error instanceof RipstopError)) throw error;
    throw new RipstopError(error.code, `${path}: ${error.message}`, error.hint, { cause: error });
  }
}

/** Reads and checks the text of a configuration. @throws RipstopError ECONFIG */
export function parseNodeConfig(source: string): NodeConfig {
  const lineCounter = new LineCounter();
  const document = parseDocument(source, { lineCounter, prettyErrors: false });
  const [trouble] = document.errors;
  if (trouble) {
    const { line, col } = lineCounter.linePos(trouble.pos[0]);
    throw new RipstopError('ECONFIG', `line ${line}, column ${col}: ${trouble.message}`);
  }
  return complete(readObject(nodeFields, document.toJS() ?? {}, ''));
}

function complete(raw: RawConfig): NodeConfig {
  const { mode, vni } = raw;
  const peers = raw.peers.map(peer => completePeer(peer, mode, vni));
  const config: NodeConfig = {
    ...raw,
    peers,
    port: raw.port ?? DEFAULT_PORT[mode],
    device: raw.device ?? (mode === 'vxlan' ? `flannel.${vni}` : 'flannel0'),
    namespace: namespacePath(raw.namespace),
  };
  checkPeers(config);
  return config;
}

function completePeer(peer: RawPeer, mode: 'vxlan' | 'udp', vni: number): NodePeer {
  const { name, address, subnets, port } = peer;
  const mac = mode === 'vxlan' ? (peer.mac ?? vtepMac(vni, address)) : undefined;
  return { id: name, address, subnets, mac, port, remoteChecksum: peer.remoteChecksum };
}

function namespacePath(text: string): string {
  return text === '' || text.includes('/') ? text : `${NAMED_NAMESPACES}/${text}`;
}

function refuse(where: string, problem: string, hint: string): never {
  throw new RipstopError('ECONFIG', `${where}: ${problem}`, hint);
}

/** What no single key can tell: peers and subnets against each other. */
function checkPeers({ peers, subnets, networks, port }: NodeConfig): void {
  const names = new Map<string, string>();
  const endpoints = new Map<string, string>();
  const macs = new Map<string, string>();
  const owned: OwnedSubnet[] = subnets.map((subnet, index) => ({
    subnet,
    where: `subnets[${index}]`,
    owner: 'this node',
  }));
  const addresses = new Map<string, OwnedSubnet>();
  for (const [index, peer] of peers.entries()) {
    const where = `peers[${index}]`;
    const taken = (map: Map<string, string>, key: string, what: string, hint: string) => {
      const other = map.get(key);
      if (other !== undefined) refuse(where, `${what} is that of peer "${other}" as well`, hint);
      map.set(key, peer.id);
    };
    taken(names, peer.id, `the name "${peer.id}"`, 'names are unique');
    const endpoint = `${peer.address} port ${peer.port ?? port}`;
    taken(endpoints, endpoint, `the address ${endpoint}`, 'each node has an underlay address of its own');
    if (peer.mac) taken(macs, peer.mac, `the MAC ${peer.mac}`, 'each VTEP has a MAC of its own');
    for (const [at, subnet] of peer.subnets.entries())
      owned.push({ subnet, where: `${where}.subnets[${at}]`, owner: `peer "${peer.id}"` });
    addresses.set(peer.address, { subnet: peer.address, where: `${where}.address`, owner: '' });
    const family = peer.address.includes(':');
    const first = peers[0]!;
    if (family !== first.address.includes(':'))
      refuse(
        `${where}.address`,
        `${peer.address} is of another family than ${first.address} of peer "${first.id}"`,
        'the underlay of one overlay is IPv4 or IPv6',
      );
  }
  const overlap = findOverlap(owned);
  if (overlap) {
    const [earlier, later] = overlap;
    const what = `${later.subnet} overlaps ${earlier.subnet} of ${earlier.owner}`;
    refuse(later.where, what, 'a pod subnet belongs to one node');
  }
  for (const { subnet: address, where } of addresses.values()) {
    const network = networks.find(candidate => covers(candidate, address));
    if (network) refuseLoop(where, address, network);
  }
  const looped = findOverlap([...owned, ...addresses.values()]);
  if (looped) refuseLoop(looped[1].where, looped[1].subnet, looped[0].subnet);
}

/** Datagrams to such an address would be routed into the overlay that they are to carry. */
export function refuseLoop(where: string, address: string, subnet: string): never {
  refuse(
    where,
    `${address} lies in the pod subnet ${subnet}`,
    'nodes need addresses outside of the pod subnets',
  );
}
