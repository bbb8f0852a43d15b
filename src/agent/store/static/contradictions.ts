import type { Lease } from '../../lease/lease.ts';
import type { RejectedLease } from '../../lease/rejected-lease.ts';
import { selectPeers } from '../../overlay/peer-selector.ts';
import { networkConfigOf, ownKey, peerLease, type StaticFile, subnetsOf } from './static-file.ts';

/**
 * The peers of a file that a node with this file would refuse, as the file contradicts itself: two peers with one
 * address, MAC or pod subnet, or a peer with what is this node's.
 * @param address own underlay address; the file's, when undefined. With `auto` the peers' addresses are not compared to it.
 */
export function contradictionsOf(file: StaticFile, address?: string): readonly RejectedLease[] {
  const config = networkConfigOf(file);
  const { family, underlay } = config.single ?? { family: 4, underlay: undefined };
  const subnets = subnetsOf(file.subnets);
  const own: Lease = {
    key: ownKey(subnets),
    ...subnets,
    attributes: { ...NO_ATTRIBUTES, backendType: file.mode },
    expiresAt: 0,
    node: undefined,
  };
  const plan = {
    ...{ mode: file.mode, device: file.device, port: file.port, vni: file.vni, mac: file.mac, mtu: 0 },
    family,
    carries: ([4, 6] as const).filter(one => (one === 4 ? subnets.v4 : subnets.v6)),
    address: address ?? underlay ?? (family === 4 ? '0.0.0.0' : '::'),
    subnets: file.subnets,
    networks: file.networks,
  };
  const leases = file.peers.map(peer => peerLease(peer, file));
  return selectPeers({ plan, config, own, onLink: () => true, underlay: [] }, leases).rejected;
}

const NO_ATTRIBUTES = {
  publicIp: undefined,
  publicIpv6: undefined,
  backendData: undefined,
  backendV6Data: undefined,
};
