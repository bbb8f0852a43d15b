import { isNetError } from '../../../net/error.ts';
import type { Link } from '../../../net/rtnetlink/links.ts';
import type { Route } from '../../../net/rtnetlink/routes.ts';
import type { TraceAnswer } from '../answer.ts';
import type { TraceRecorder } from '../recorder.ts';
import type { KnownNeighbour } from './kernel-lookup.ts';
import { refusedRoute } from './route-refusal.ts';

/**
 * Conditions for a node to forward any packet that arrives by an interface.
 * @returns the answer when one does not hold
 */
export function mayForward(trace: TraceRecorder, from: Link | undefined): TraceAnswer | undefined {
  const { kernel, packet } = trace;
  const { name, on } = kernel.forwards(packet.family);
  if (!on)
    return trace.lose(
      'forwarding',
      `${name} is 0: this node forwards no packets`,
      `sysctl -w ${name}=1, and find the program that set it to 0: Ripstop sets it to 1 at start`,
    );
  const arrival = from && packet.family === 4 ? kernel.forwardsFrom(from.name) : undefined;
  if (arrival && !arrival.on)
    return trace.lose(
      'forwarding',
      `${arrival.name} is 0: the kernel forwards no packet that arrives by ${from?.name}`,
      `sysctl -w ${arrival.name}=1, and find the program that set it to 0, or net.ipv4.conf.default.forwarding`,
    );
  trace.pass('forwarding', `${name} is 1`);
  return undefined;
}

/**
 * The kernel's route for the packet.
 * @param from interface by which the packet came; undefined: this node sends it
 * @returns the answer when the packet ends here
 */
export function routeOf(trace: TraceRecorder, from?: Link): { route: Route; link: Link } | TraceAnswer {
  const { kernel } = trace;
  const { source, destination } = trace.packet;
  let route: Route;
  try {
    route = kernel.route(destination, from && { source, link: from.index });
  } catch (error) {
    if (!isNetError(error)) throw error;
    return refusedRoute(trace, error, from);
  }
  if (route.type === 'local') {
    trace.pass('route', `${destination} is an address of this node`);
    return trace.end('delivered', 'delivered to this node itself');
  }
  if (route.type !== 'unicast')
    return trace.lose(
      'route',
      `a ${route.type} route matches ${destination}`,
      `ip route get ${destination} shows the route; another program made it`,
    );
  const link = kernel.link(route.link);
  if (!link)
    return trace.lose(
      'route',
      `the route to ${destination} has several next hops or no device`,
      `ip route get ${destination}`,
    );
  trace.pass('route', `${destination}${route.gateway ? ` via ${route.gateway}` : ''} dev ${link.name}`);
  return { route, link };
}

/** The last step to a pod of this node, behind `link`. */
export function deliver(trace: TraceRecorder, link: Link): TraceAnswer {
  const { destination } = trace.packet;
  const neighbour = trace.kernel.neighbour(link.index, destination);
  if (!link.up) return trace.lose('pod', `${link.name} is down`, `ip link set ${link.name} up`);
  if (!neighbour?.answers) {
    trace.doubt('pod', unresolved(destination, link.name, neighbour));
    return trace.end('delivered', `handed to ${link.name}, if ${destination} answers there`);
  }
  const port = neighbour.mac === undefined ? undefined : trace.kernel.forwarding(neighbour.mac)?.port;
  trace.pass(
    'pod',
    `${destination} is at ${neighbour.mac ?? 'no MAC'} on ${link.name} (${neighbour.state})${port && port !== link.name ? `, behind ${port}` : ''}`,
  );
  return trace.end('delivered', `delivered to ${destination} by ${link.name}`);
}

/** A MAC that the kernel does not have: it asks for it with the next packet, also after an attempt that failed. */
export function unresolved(address: string, link: string, neighbour: KnownNeighbour | undefined): string {
  switch (neighbour?.state) {
    case 'failed':
      return `${address} did not answer on ${link} last time (failed); the kernel will ask again`;
    case 'incomplete':
      return `${address} has not answered on ${link} yet (incomplete); the kernel is asking`;
    default:
      return `${address} is not known on ${link} yet; the kernel will ask for its MAC`;
  }
}
