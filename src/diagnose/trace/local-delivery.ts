import { isNetError } from '../../net/error.ts';
import type { Link } from '../../net/rtnetlink/links.ts';
import type { Route } from '../../net/rtnetlink/routes.ts';
import type { TraceAnswer } from './answer.ts';
import type { TraceRecorder } from './recorder.ts';

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
    return refusedRoute(trace, error.code, from?.name ?? 'this node');
  }
  if (route.type === 'local') {
    trace.pass('route', `${destination} is an address of this node`);
    return trace.end('delivered', 'delivered to this node itself');
  }
  if (route.type !== 'unicast')
    return trace.lose(
      'route',
      `a ${route.type} route matches ${destination}`,
      route.type === 'blackhole'
        ? 'no pod of this node has the address; --ip-blackhole-route made the route'
        : `ip route get ${destination} shows the route; another program made it`,
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

function refusedRoute(trace: TraceRecorder, code: string, from: string): TraceAnswer {
  switch (code) {
    case 'EXDEV':
      return trace.lose(
        'route',
        `dropped by the reverse path filter: replies to the source do not leave by ${from}`,
        `correct the route to the source, or loosen net.ipv4.conf.${from}.rp_filter`,
      );
    case 'EINVAL':
      return trace.lose(
        'route',
        `the kernel refuses a packet from this source on ${from}`,
        'the source is an address of this node, or a martian: find its sender',
      );
    default:
      return trace.lose(
        'route',
        `there is no route to ${trace.packet.destination} (${code})`,
        '`ripstop peers` shows which peer owns which subnet; a node that is missing there has no lease',
      );
  }
}

/** The last step to a pod of this node, behind `link`. */
export function deliver(trace: TraceRecorder, link: Link): TraceAnswer {
  const { destination } = trace.packet;
  const neighbour = trace.kernel.neighbour(link.index, destination);
  if (!link.up) return trace.lose('pod', `${link.name} is down`, `ip link set ${link.name} up`);
  if (neighbour && !neighbour.answers)
    return trace.lose(
      'pod',
      `${destination} does not answer on ${link.name} (${neighbour.state})`,
      'the pod has ended, or has another address: compare with its status in the runtime',
    );
  if (!neighbour) {
    trace.pass('pod', `${destination} is not known on ${link.name} yet: the kernel will ask for its MAC`);
    return trace.end('delivered', `handed to ${link.name}, if ${destination} answers there`);
  }
  const port = neighbour.mac === undefined ? undefined : trace.kernel.forwarding(neighbour.mac)?.port;
  trace.pass(
    'pod',
    `${destination} is at ${neighbour.mac ?? 'no MAC'} on ${link.name} (${neighbour.state})${port && port !== link.name ? `, behind ${port}` : ''}`,
  );
  return trace.end('delivered', `delivered to ${destination} by ${link.name}`);
}
