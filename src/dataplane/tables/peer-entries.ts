import { ECN_MASK } from '../../../encap/ecn.ts';
import type { Mode } from '../../../encap/encap.ts';
import { FORMATS } from '../../../encap/formats.ts';
import { innerMtu } from '../../../encap/mtu.ts';
import { type Address, mappedBytesOf, requireAddress } from '../../ip/address.ts';
import type { Prefix } from '../../ip/prefix.ts';
import type { Peer } from '../descriptor/peer.ts';
import { type Mac, packMac } from './mac.ts';
import type { OverlayAddress } from './neighbour-table.ts';
import { PEER_ADDRESS, PEER_STRIDE, type PeerRecord, writePeer } from './peer-table.ts';

/** What all peers of one overlay share; part of `DataPlaneOptions`. */
export interface PeerDefaults {
  readonly mode: Mode;
  readonly vni: number;
  readonly port: number;
  /** Largest outer IP packet. */
  readonly underlayMtu: number;
  /** Largest inner IP packet. */
  readonly mtu: number;
  /** The outer header gets the DSCP of the inner packet. Default: 0. */
  readonly copyDscp?: boolean | undefined;
}

/** Bits of the DSCP in a traffic class (RFC 2474). */
const DSCP_MASK = 0xfc;

/** A prefix in words of the tables. */
interface PrefixWords extends OverlayAddress {
  readonly length: number;
}

/** The table entries of one peer. */
export interface PeerEntries {
  readonly peer: Peer;
  /** Its record, as `writePeer` leaves it. */
  readonly record: Int32Array;
  /** The underlay address as the words that `findPeerBySource` takes. */
  readonly source: Int32Array;
  /** Undefined for a peer without VTEP (udp). */
  readonly mac: Mac | undefined;
  readonly prefixes: readonly PrefixWords[];
}

/** The entries of a peer. The selection among the leases has checked it. @throws RipstopError ECONFIG */
export function peerEntries(peer: Peer, defaults: PeerDefaults): PeerEntries {
  const where = `peer ${peer.id}`;
  const format = FORMATS[defaults.mode];
  const address = requireAddress(peer.address);
  const pathMtu = peer.pathMtu ?? defaults.underlayMtu;
  const mac = peer.mac === undefined ? undefined : packMac(peer.mac, where);
  const record = new Int32Array(PEER_STRIDE);
  writePeer(record, 0, {
    family: address.family,
    address: mappedBytesOf(address),
    port: peer.port ?? defaults.port,
    pathMtu,
    innerMtu:
      peer.pathMtu === undefined
        ? defaults.mtu
        : Math.min(defaults.mtu, innerMtu(format, address.family, pathMtu)),
    header: format.header(defaults.vni),
    mac,
    classMask: (peer.ignoresEcn ? 0 : ECN_MASK) | (defaults.copyDscp ? DSCP_MASK : 0),
    remoteChecksum: defaults.mode === 'vxlan' && peer.remoteChecksum === true,
    unsegmented: peer.unsegmented,
    ...ownAddresses([address, ...(peer.hosts ?? [])]),
  });
  const source = record.subarray(PEER_ADDRESS, PEER_ADDRESS + 4);
  return { peer, record, source, mac, prefixes: peer.subnets.map(prefixWords) };
}

/** Own addresses of a peer for its record. Routed packets never have a link-local source. */
function ownAddresses(addresses: readonly Address[]): Pick<PeerRecord, 'host4' | 'host6'> {
  const v4 = addresses.find(({ family }) => family === 4);
  const v6 = addresses.find(({ family, value }) => family === 6 && value >> 118n !== LINK_LOCAL);
  return { host4: v4 && addressWords(v4)[0], host6: v6 && addressWords(v6) };
}

/** The first ten bits of fe80::/10. */
const LINK_LOCAL = 0xfe80n >> 6n;

function prefixWords(prefix: Prefix): PrefixWords {
  return { family: prefix.family, words: addressWords(prefix), length: prefix.length };
}

/** One word (IPv4) or four (IPv6): big-endian values as signed int32. */
export function addressWords({ family, value }: Address): number[] {
  if (family === 4) return [Number(value) | 0];
  SCRATCH.setBigUint64(0, value >> 64n);
  SCRATCH.setBigUint64(8, value);
  return [SCRATCH.getInt32(0), SCRATCH.getInt32(4), SCRATCH.getInt32(8), SCRATCH.getInt32(12)];
}

const SCRATCH = new DataView(new ArrayBuffer(16));
