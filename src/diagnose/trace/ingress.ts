import { elementAt } from '../../base/at.ts';
import { VERDICTS } from '../../dataplane/dataplane.ts';
import { mappedBytesOf, requireAddress } from '../../ip/address.ts';
import { isNetError } from '../../net/error.ts';
import type { Link } from '../../net/rtnetlink/links.ts';
import type { Route } from '../../net/rtnetlink/routes.ts';
import type { TraceAnswer, TraceArrival } from './answer.ts';
import type { KernelLookup } from './kernel-lookup.ts';
import { deliver, mayForward, refusedRoute } from './local-delivery.ts';
import type { TraceNode } from './node.ts';
import type { TracePacket } from './packet.ts';
import type { TraceRecorder } from './recorder.ts';

/** Traces a packet that another node sent. */
export async function traceIngress(
  trace: TraceRecorder,
  node: TraceNode,
  kernel: KernelLookup,
  packet: TracePacket,
  arrival: TraceArrival,
): Promise<TraceAnswer> {
  const arrived = decapsulate(trace, node, kernel, arrival);
  if ('outcome' in arrived) return arrived;
  const refused = await mayForward(trace, node, kernel, packet);
  if (refused) return refused;
  let route: Route;
  try {
    route = kernel.route(packet.destination, { source: packet.source, link: arrived.index });
  } catch (error) {
    if (!isNetError(error)) throw error;
    return refusedRoute(trace, packet.destination, error.code, arrived.name);
  }
  if (route.type === 'local') {
    trace.pass('route', `${packet.destination} is an address of this node`);
    return trace.end('delivered', 'delivered to this node itself');
  }
  const link = kernel.link(route.link);
  if (route.type !== 'unicast' || !link)
    return trace.lose(
      'route',
      `a ${route.type} route holds ${packet.destination}`,
      'no pod of this node has the address',
    );
  trace.pass(
    'route',
    `${packet.destination}${route.gateway ? ` via ${route.gateway}` : ''} dev ${link.name}`,
  );
  if (link.index === arrived.index)
    return trace.lose(
      'route',
      `it would leave by ${link.name} again: the address is no pod of this node`,
      'two nodes have different ideas of who owns it: compare `ripstop peers` of both',
    );
  return deliver(trace, kernel, packet, link);
}

/** Decapsulates a datagram and checks its source. @returns the device of the inner packet, or the answer if it is dropped */
function decapsulate(
  trace: TraceRecorder,
  node: TraceNode,
  kernel: KernelLookup,
  { from, to, payload }: TraceArrival,
): Link | TraceAnswer {
  const overlay = node.overlays.find(one => one.address === to);
  const device = kernel.link(payload === null ? node.underlay : overlay?.device);
  if (!device || (payload !== null && !overlay))
    return trace.lose(
      'decap',
      `no overlay of this node has the address ${to}`,
      'the peer uses an address that this node does not have: restart its agent, or correct its list of peers',
    );
  if (payload === null) {
    trace.pass('decap', `none: ${from} sends the packet without encapsulation; it arrives on ${device.name}`);
    return device;
  }
  const plane = overlay?.plane;
  if (!plane) {
    trace.pass('decap', `by the kernel on ${device.name}`);
    return device;
  }
  const judgement = plane
    .classifier()
    .ingress(Buffer.from(payload, 'base64'), mappedBytesOf(requireAddress(from)));
  const verdict = elementAt(VERDICTS, judgement.verdict);
  if (verdict.drop)
    return trace.lose(
      'decap',
      `${verdict.name}: ${verdict.meaning}`,
      verdict.remedy,
      `dropped: ${verdict.name}, ${verdict.meaning}`,
    );
  trace.pass('decap', `${verdict.name}: ${from} is a peer and owns the source address`);
  return device;
}
