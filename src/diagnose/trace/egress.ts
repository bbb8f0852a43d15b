import { isNetError } from '../../net/error.ts';
import type { Link } from '../../net/rtnetlink/links.ts';
import type { Route } from '../../net/rtnetlink/routes.ts';
import type { TraceAnswer } from './answer.ts';
import type { KernelLookup } from './kernel-lookup.ts';
import { deliver, mayForward, refusedRoute } from './local-delivery.ts';
import { masqueraded } from './masquerade.ts';
import { isOwn, nameOf, networkContains, ownerOf, type TraceNode } from './node.ts';
import type { TracePacket } from './packet.ts';
import type { TraceRecorder } from './recorder.ts';
import { throughTunnel } from './tunnel.ts';
import { overUnderlay } from './underlay.ts';

/** Where a packet begins. */
export interface SourceInterface {
  /** `node`: it is sent by this node itself; `inside`: by a pod of it; `outside`: by a host beyond. */
  readonly kind: 'node' | 'inside' | 'outside';
  /** The link that it comes in by, for all but the node itself. */
  readonly link: Link | undefined;
}

/** A packet that begins at this node, or comes to it from outside of the cluster. */
export async function traceEgress(
  trace: TraceRecorder,
  node: TraceNode,
  kernel: KernelLookup,
  packet: TracePacket,
  origin: SourceInterface,
): Promise<TraceAnswer> {
  const { source, destination } = packet;
  const from = origin.link?.name ?? 'this node';
  const meaning = { node: 'an address of this node', inside: 'a pod behind', outside: 'a host beyond' };
  trace.pass('source', `${source} is ${meaning[origin.kind]}${origin.link ? ` ${from}` : ''}`);
  if (origin.kind !== 'node') {
    const refused = await mayForward(trace, node, kernel, packet);
    if (refused) return refused;
  }
  const arrival = origin.link && { source, link: origin.link.index };
  let route: Route;
  try {
    route = kernel.route(destination, arrival);
  } catch (error) {
    if (!isNetError(error)) throw error;
    return refusedRoute(trace, destination, error.code, from);
  }
  if (route.type === 'local') {
    trace.pass('route', `${destination} is an address of this node`);
    return trace.end('delivered', 'delivered to this node itself');
  }
  if (route.type !== 'unicast')
    return trace.lose(
      'route',
      `a ${route.type} route holds ${destination}`,
      route.type === 'blackhole'
        ? 'no pod of this node has the address: the blackhole of --ip-blackhole-route takes it'
        : `ip route get ${destination} shows it; somebody else made it`,
    );
  const link = kernel.link(route.link);
  if (!link)
    return trace.lose(
      'route',
      `the route to ${destination} has several next hops or no device`,
      `ip route get ${destination}`,
    );
  trace.pass('route', `${destination}${route.gateway ? ` via ${route.gateway}` : ''} dev ${link.name}`);
  if (packet.bytes.length > (route.mtu ?? link.mtu))
    return trace.lose(
      'mtu',
      `${packet.bytes.length} bytes, ${link.name} takes ${route.mtu ?? link.mtu}; the kernel tells the sender by ICMP`,
      `the sender's interface may not be larger than ${route.mtu ?? link.mtu}: see the MTU of its pod`,
    );
  const overlay = node.overlays.find(one => one.device === link.name);
  const leaving = await translate(trace, node, kernel, packet, link);
  if (overlay) return throughTunnel(trace, kernel, leaving, overlay, link, route.gateway);
  const direct = directPeer(node, destination, route.gateway);
  if (direct) {
    trace.pass('peer', `${route.gateway} is ${nameOf(direct.peer)}: a plain route, nothing is added`);
    return (
      overUnderlay(trace, kernel, direct.peer.address, leaving.bytes.length) ??
      trace.end('forwarded', `sent to ${nameOf(direct.peer)} as it is, by the kernel`, {
        ...{ from: direct.overlay.address, to: direct.peer.address, payload: null },
        peer: nameOf(direct.peer),
      })
    );
  }
  if (isOwn(node, destination)) return deliver(trace, kernel, leaving, link);
  return bypassOverlay(trace, node, destination, link);
}

/** The packet with the source that the rules give it, if they do. */
async function translate(
  trace: TraceRecorder,
  node: TraceNode,
  kernel: KernelLookup,
  packet: TracePacket,
  link: Link,
): Promise<TracePacket> {
  const { source, destination, family } = packet;
  if (!node.rules) {
    trace.pass('masquerade', 'no: `ripstop run` keeps no NAT rules; those of others are not looked at');
    return packet;
  }
  const { applies, why } = masqueraded(node.rules, source, destination);
  const isThere = !node.rules.masquerade || (await node.hasRules());
  if (!applies || !isThere) {
    trace.pass(
      'masquerade',
      applies ? 'no: the rules are missing, the agent is about to mend them' : `no: ${why}`,
    );
    return packet;
  }
  const address = kernel.addressOn(link.index, family);
  trace.pass('masquerade', `yes: ${why}; it leaves as ${address ?? `an address of ${link.name}`}`);
  return address ? packet.from(address) : packet;
}

function directPeer(node: TraceNode, destination: string, gateway: string | undefined) {
  const owner = ownerOf(node, destination);
  return owner && owner.peer.address === gateway ? owner : undefined;
}

/** Out by a device that is none of ours: right for the world, wrong for a pod. */
function bypassOverlay(trace: TraceRecorder, node: TraceNode, destination: string, link: Link): TraceAnswer {
  const network = node.overlays
    .flatMap(({ networks }) => networks)
    .find(one => networkContains(one, destination));
  if (!network) return trace.end('routed-elsewhere', `leaves by ${link.name}, beside the overlay`);
  return trace.lose(
    'peer',
    `${destination} is in the pod network ${network}, and no peer owns it: it leaves by ${link.name}`,
    'the node that owned it holds no lease any more, or the address is no pod: `ripstop peers`',
    `no peer owns ${destination}`,
  );
}
