import type { Peer } from '../../dataplane/descriptor/peer.ts';
import { baseAddress, canonicalNetwork, covers, formatPrefix, requirePrefix } from '../../ip/prefix.ts';
import type { BackendConfig } from '../config/backend.ts';
import type { Settings } from '../config/settings.ts';
import type { OverlayPlan } from '../inputs/plan.ts';
import type { Underlay } from '../inputs/underlay.ts';
import type {
  DesiredState,
  ForwardingEntry,
  KernelVxlan,
  NeighbourEntry,
  RouteEntry,
  SysctlEntry,
} from './state.ts';

/** This node's side of one overlay. */
export interface OverlaySpec
  extends Pick<OverlayPlan, 'mode' | 'device' | 'mtu' | 'mac' | 'subnets' | 'networks'> {
  readonly txQueueLength: number;
  /** Name of the underlay interface. */
  readonly underlay: string;
  /** Plain routes lead to nodes on the same link. */
  readonly directRouting?: boolean | undefined;
  /** Set where the kernel carries the packets: the parameters of its VXLAN device. */
  readonly vxlan?: KernelVxlan | undefined;
}

/** @param isUserspace a data plane of Ripstop carries the packets */
export function overlaySpec(
  plan: OverlayPlan,
  backend: BackendConfig,
  { name }: Underlay,
  isUserspace: boolean,
  { txQueueLength, copyDscp }: Pick<Settings, 'txQueueLength' | 'copyDscp'>,
): OverlaySpec {
  const directRouting = backend.type === 'vxlan' && backend.directRouting;
  const spec = { ...plan, txQueueLength, underlay: name, directRouting };
  if (backend.type !== 'vxlan' || isUserspace) return spec;
  const { vni, port, gbp, learning } = backend;
  return { ...spec, vxlan: { vni, port, local: plan.address, parent: name, gbp, learning, copyDscp } };
}

function isV6(subnet: string): boolean {
  return subnet.includes(':');
}

/**
 * The kernel state of a node in flannel's layout: the device has the base address of each own subnet; in vxlan mode each
 * peer subnet has a permanent neighbour (its base address at the peer's VTEP MAC) and a route via that neighbour; in udp
 * mode the networks are routed to the device. Pure.
 */
export function desiredState(overlay: OverlaySpec, peers: readonly Peer[]): DesiredState {
  const all = peers.map(peer => entriesOf(overlay, peer));
  return {
    ...baseState(overlay),
    neighbours: all.flatMap(({ neighbours }) => neighbours),
    forwarding: all.flatMap(({ forwarding }) => forwarding),
    routes: [...ownRoutes(overlay), ...all.flatMap(({ routes }) => routes)],
  };
}

/** Device and sysctls of an overlay, without the entries of its peers. */
export function baseState(overlay: OverlaySpec): DesiredState {
  const { device } = overlay;
  return {
    device: device === undefined ? undefined : deviceOf(overlay, device),
    neighbours: [],
    forwarding: [],
    routes: [],
    settings: sysctlsOf(overlay),
  };
}

/** Routes that depend on no peer. */
export function ownRoutes({ mode, networks, device }: OverlaySpec): RouteEntry[] {
  if (mode !== 'udp') return [];
  return networks.map(network => ({ destination: canonicalNetwork(network), device }));
}

/** The entries of one peer. */
export type KernelEntries = Pick<DesiredState, 'neighbours' | 'forwarding' | 'routes'>;

export function entriesOf(overlay: OverlaySpec, peer: Peer): KernelEntries {
  const neighbours: NeighbourEntry[] = [];
  const forwarding: ForwardingEntry[] = [];
  const routes: RouteEntry[] = [];
  const { device } = overlay;
  const { mac } = peer;
  const tunnelled = overlay.mode === 'vxlan' && !peer.direct;
  if (tunnelled && overlay.vxlan && mac) forwarding.push({ mac, remote: peer.address });
  for (const subnet of peer.subnets) {
    const destination = formatPrefix(subnet);
    if (peer.direct || overlay.mode === 'host-gw') {
      routes.push({ destination, gateway: peer.address });
    } else if (overlay.mode === 'udp') {
      if (!overlay.networks.some(network => covers(network, destination)))
        routes.push({ destination, device });
    } else {
      // The tunnel device of a node has the first address of the node's subnet, as in flannel.
      const gateway = baseAddress(subnet);
      if (mac) neighbours.push({ address: gateway, mac });
      routes.push({ destination, gateway, device, onlink: true });
    }
  }
  return { neighbours, forwarding, routes };
}

function deviceOf(overlay: OverlaySpec, name: string): DesiredState['device'] {
  const { mtu, mac, txQueueLength, vxlan } = overlay;
  const addresses = overlay.subnets.map(
    subnet => `${baseAddress(requirePrefix(subnet))}/${isV6(subnet) ? 128 : 32}`,
  );
  return { name, mtu, mac: mac?.toLowerCase(), txQueueLength, addresses, vxlan };
}

/** The interfaces by which packets for pods of this node arrive. */
function arrivals({ device, mode, underlay, directRouting }: OverlaySpec): string[] {
  const byUnderlay = mode === 'host-gw' || directRouting === true;
  return [...(device === undefined ? [] : [device]), ...(byUnderlay ? [underlay] : [])];
}

/** The sysctls that packets of pods need to pass through this node. */
function sysctlsOf(overlay: OverlaySpec): SysctlEntry[] {
  const { device, underlay, subnets } = overlay;
  const six = subnets.some(isV6);
  const settings: SysctlEntry[] = [];
  if (device !== undefined) {
    const own = `net/ipv6/conf/${device}`;
    if (six) settings.push({ name: `${own}/disable_ipv6`, value: '0' });
    // The overlay has no routers and no neighbours to discover; each such message would be counted as a drop.
    const without = `${device} sends router and multicast listener messages, which are counted as drops (multicast)`;
    settings.push({ name: `${own}/accept_ra`, value: '0', without });
    settings.push({ name: `${own}/addr_gen_mode`, value: '1', without });
  }
  if (subnets.some(subnet => !isV6(subnet))) {
    settings.push({ name: 'net/ipv4/ip_forward', value: '1' });
    // An interface has its own setting, which it takes from `default` when it is made. It decides about packets that
    // arrive by the interface; IPv6 has no such rule. A change of ip_forward sets it on all interfaces.
    const only = { 'net/ipv4/ip_forward': '1' };
    for (const name of arrivals(overlay))
      settings.push({ name: `net/ipv4/conf/${name}/forwarding`, value: '1', only });
  }
  if (six) {
    // A node that forwards ignores router advertisements unless accept_ra is 2, and would lose an underlay address and a
    // default route that came from them. A node that forwards already does not use them.
    const forwarding = 'net/ipv6/conf/all/forwarding';
    const advertisements = `net/ipv6/conf/${underlay}/accept_ra`;
    const only = { [advertisements]: '1', [forwarding]: '0' };
    const without = `${underlay} loses addresses and routes that came from router advertisements`;
    settings.push({ name: advertisements, value: '2', only, without });
    settings.push({ name: forwarding, value: '1' });
  }
  return settings;
}
