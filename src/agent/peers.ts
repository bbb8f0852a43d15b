import { describeError } from '../base/errors.ts';
import type { NetworkConfig } from './config/net-conf.ts';
import type { LayoutPeer } from './kernel/layout.ts';
import { parseVxlanData, type VxlanData } from './lease/backend-data.ts';
import { type Cidr, contains, formatCidr, SubnetIndex } from './lease/cidr.ts';
import { isSameLease, type Lease } from './lease/lease.ts';
import type { OverlayPlan } from './overlay-plan.ts';

/** A remote node as one overlay sees it; `id` is its lease's key. */
export interface OverlayPeer extends LayoutPeer {
  readonly id: string;
  readonly node: string | undefined;
  /** Both leases say that inner checksums stay open between the two (`lease/backend-data.ts`). */
  readonly remoteChecksum: boolean;
}

/** A lease that gives no peer, and why, for logs, metrics and `ripstop peers`. */
export interface Rejection {
  readonly key: string;
  readonly reason:
    | 'other-backend'
    | 'malformed'
    | 'no-address'
    | 'vni-differs'
    | 'outside-network'
    | 'overlap'
    | 'twin'
    | 'off-link';
  readonly message: string;
}

export interface PeerSelection {
  readonly peers: readonly OverlayPeer[];
  readonly rejected: readonly Rejection[];
}

/** True when `address` is on a link of this node, so that a plain route reaches it. */
export type OnLink = (address: string) => boolean;

interface Taken {
  peer: OverlayPeer;
  readonly subnets: Cidr[];
}

/**
 * Makes peers of leases for one overlay. What one lease says wrong never harms the others: it is left out and named.
 * @param all every lease, the own one included
 * @param onLink asked for DirectRouting and host-gw
 */
export function selectPeers(
  plan: OverlayPlan,
  config: NetworkConfig,
  own: Lease,
  all: readonly Lease[],
  onLink: OnLink,
): PeerSelection {
  const { backend } = config;
  const rejected: Rejection[] = [];
  const byAddress = new Map<string, Taken>();
  const byMac = new Map<string, string>();
  const index = new SubnetIndex();
  const ownData = vxlanData(plan, config, own, () => {});
  for (const cidr of [own.v4, own.v6]) if (cidr) index.add(cidr, `${own.key} (this node)`);

  // Live nodes first: of two leases that contradict one another the one with a living holder is right.
  const ordered = [...all].sort((a, b) => Number(!a.node) - Number(!b.node) || (a.key < b.key ? -1 : 1));
  for (const lease of ordered) {
    if (isSameLease(lease, own)) continue;
    const reject = (reason: Rejection['reason'], message: string): void => {
      rejected.push({ key: lease.key, reason, message });
    };
    const { attributes } = lease;
    if (!speaks(attributes.backendType, backend.type)) {
      reject('other-backend', `speaks ${attributes.backendType || 'udp'}, this node ${backend.type}`);
      continue;
    }
    const subnets = plan.carries
      .map(family => (family === 4 ? lease.v4 : lease.v6))
      .filter(cidr => cidr !== undefined);
    if (subnets.length === 0) continue;
    const address = plan.family === 4 ? attributes.publicIp : attributes.publicIpv6;
    if (!address) {
      reject('no-address', `publishes no IPv${plan.family} address`);
      continue;
    }
    if (address === plan.address) {
      reject('twin', `publishes this node's own address ${address}`);
      continue;
    }
    const data = vxlanData(plan, config, lease, reject);
    if (data === null) continue;
    const mac = data?.mac;
    const outside = subnets.find(cidr => !inNetwork(cidr, config));
    if (outside) {
      reject('outside-network', `${formatCidr(outside)} is outside the pod network`);
      continue;
    }
    const rival = subnets.map(cidr => index.overlapping(cidr)).find(name => name !== undefined);
    if (rival !== undefined) {
      reject('overlap', `overlaps ${rival}`);
      continue;
    }
    const isNear =
      backend.type === 'host-gw' || (backend.type === 'vxlan' && backend.directRouting)
        ? onLink(address)
        : false;
    if (backend.type === 'host-gw' && !isNear) {
      reject('off-link', `${address} is behind a router: host-gw needs all nodes on one link`);
      continue;
    }
    const twin = byAddress.get(address);
    if (twin && twin.peer.mac !== mac) {
      reject('twin', `publishes the address ${address} of ${twin.peer.id} with another MAC`);
      continue;
    }
    const holder = mac === undefined ? undefined : byMac.get(mac);
    if (holder !== undefined && holder !== address) {
      reject('twin', `publishes the VTEP MAC ${mac} of another node`);
      continue;
    }
    if (mac !== undefined) byMac.set(mac, address);
    for (const cidr of subnets) index.add(cidr, lease.key);
    const remoteChecksum = ownData?.remoteChecksum === true && data?.remoteChecksum === true;
    // Two leases of one node (it changed its subnet, the old lease has not ended): one peer with both.
    if (twin) {
      twin.subnets.push(...subnets);
      if (!remoteChecksum) twin.peer = { ...twin.peer, remoteChecksum };
    } else
      byAddress.set(address, {
        peer: {
          id: lease.key,
          node: lease.node,
          address,
          mac,
          remoteChecksum,
          direct: isNear,
          subnets: [],
        },
        subnets: [...subnets],
      });
  }
  const peers = [...byAddress.values()].map(({ peer, subnets }) => ({
    ...peer,
    subnets: subnets.map(formatCidr),
  }));
  return { peers, rejected };
}

/** What the lease publishes for this overlay; undefined where that is nothing, null when the lease is of no use. */
function vxlanData(
  plan: OverlayPlan,
  config: NetworkConfig,
  lease: Lease,
  reject: (reason: Rejection['reason'], message: string) => void,
): VxlanData | undefined | null {
  if (plan.mode !== 'vxlan' || config.backend.type !== 'vxlan') return undefined;
  const raw = plan.family === 4 ? lease.attributes.backendData : lease.attributes.backendV6Data;
  try {
    const data = parseVxlanData(raw, lease.key);
    if (data.vni === undefined || data.vni === config.backend.vni) return data;
    reject('vni-differs', `has VNI ${data.vni}, this node ${config.backend.vni}`);
  } catch (error) {
    reject('malformed', describeError(error));
  }
  return null;
}

/** flannel's udp backend writes no type. */
function speaks(type: string, own: string): boolean {
  return (type || 'udp') === own;
}

function inNetwork(cidr: Cidr, { v4, v6 }: NetworkConfig): boolean {
  const network = cidr.family === 4 ? v4 : v6;
  return network !== undefined && contains(network, cidr);
}
