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

/** A packet that comes from another node. */
export async function traceIngress(
  trace: TraceRecorder,
  node: TraceNode,
  kernel: KernelLookup,
  packet: TracePacket,
  arrival: TraceArrival,
): Promise<TraceAnswer> {
  const gate = atTheGate(trace, node, kernel, arrival);
  if ('outcome' in gate) return gate;
  const refused = await mayForward(trace, node, kernel, packet);
  if (refused) return refused;
  let route: Route;
  try {
    route = kernel.route(packet.destination, { source: packet.source, link: gate.index });
  } catch (error) {
    if (!isNetError(error)) throw error;
    return refusedRoute(trace, packet.destination, error.code, gate.name);
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
  if (link.index === gate.index)
    return trace.lose(
      'route',
      `it would leave by ${link.name} again: the address is no pod of this node`,
      'two nodes have different ideas of who owns it: compare `ripstop peers` of both',
    );
  return deliver(trace, kernel, packet, link);
}

/** What the gate says of it. @returns the device that it then comes in by, or the answer when it is lost */
function atTheGate(
  trace: TraceRecorder,
  node: TraceNode,
  kernel: KernelLookup,
  { from, to, payload }: TraceArrival,
): Link | TraceAnswer {
  const overlay = node.overlays.find(one => one.address === to);
  const device = kernel.link(payload === null ? node.underlay : overlay?.device);
  if (!device || (payload !== null && !overlay))
    return trace.lose(
      'gate',
      `no overlay of this node has the address ${to}`,
      'the peer sends to an address that is not ours: restart its agent, or mend its list of peers',
    );
  if (payload === null) {
    trace.pass('gate', `none: it comes as it is from ${from} by ${device.name}`);
    return device;
  }
  const plane = overlay?.plane;
  if (!plane) {
    trace.pass('gate', `none: the kernel's ${device.name} opens it`);
    return device;
  }
  const judgement = plane
    .classifier()
    .ingress(Buffer.from(payload, 'base64'), mappedBytesOf(requireAddress(from)));
  const verdict = elementAt(VERDICTS, judgement.verdict);
  if (verdict.drop)
    return trace.lose(
      'gate',
      `${verdict.name}: ${verdict.meaning}`,
      verdict.remedy,
      `dropped: ${verdict.name}, ${verdict.meaning}`,
    );
  trace.pass('gate', `${verdict.name}: ${from} is a peer, and owns the source`);
  return device;
}
