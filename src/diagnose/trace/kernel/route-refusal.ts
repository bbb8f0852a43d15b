import { isNetError, type NetError } from '../../../net/error.ts';
import type { Link } from '../../../net/rtnetlink/links.ts';
import type { TraceAnswer } from '../answer.ts';
import type { TraceRecorder } from '../recorder.ts';

/** Sources that no packet from elsewhere may have (ip_route_input_slow of the kernel). */
const MARTIAN = /^(0|127|22[4-9]|23\d|24\d|25[0-5])\./;

/**
 * Why the kernel refused to route a packet. The errno is not enough: since Linux 6.13 the kernel answers EINVAL for every
 * arrival that it refuses, the reverse path filter included, which was EXDEV before; a blackhole route is EINVAL in
 * all versions. So the routes to the destination and back to the source are looked up without the arrival.
 * @param from interface by which the packet came; undefined: this node sends it
 */
export function refusedRoute(trace: TraceRecorder, error: NetError, from: Link | undefined): TraceAnswer {
  const { source, destination, family } = trace.packet;
  const onward = lookUp(trace, destination);
  if (isNetError(onward)) return unroutable(trace, onward);
  if (!from) return unroutable(trace, error);
  if (family === 4 && MARTIAN.test(source))
    return trace.lose(
      'route',
      `the kernel refuses packets with the source ${source} (martian)`,
      `find the sender: tcpdump -eni ${from.name} src ${source}`,
    );
  const back = lookUp(trace, source);
  if (!isNetError(back) && back.type === 'local')
    return trace.lose(
      'route',
      `the source ${source} is an address of this node: the kernel refuses it on ${from.name}`,
      'two hosts use this address, or a rule translates the source to it: find the sender',
    );
  const filter = trace.kernel.reversePathFilter(from.name);
  const way = isNetError(back)
    ? `there is no route to ${source}`
    : `the route to ${source} leaves by ${trace.kernel.link(back.link)?.name ?? 'another interface'}`;
  const isStrict = filter.value === 1 && (isNetError(back) || back.link !== from.index);
  const isLoose = filter.value === 2 && isNetError(back);
  if (error.code === 'EXDEV' || isStrict || isLoose)
    return trace.lose(
      'route',
      `dropped by the reverse path filter on ${from.name} (${filter.name} is ${filter.value}): ${way}`,
      `correct the way back: ip route get ${source}, ip rule show; or sysctl -w ${filter.name}=${filter.value === 1 ? 2 : 0}`,
    );
  return trace.lose(
    'route',
    `the kernel refuses the packet on ${from.name} (${error.code}), and no route or filter explains it`,
    `ip route get ${destination} from ${source} iif ${from.name}; ip rule show; nstat -az 'TcpExtIPReversePathFilter'`,
  );
}

function lookUp({ kernel }: TraceRecorder, address: string) {
  try {
    return kernel.route(address);
  } catch (error) {
    if (isNetError(error)) return error;
    throw error;
  }
}

/** No route leads to the destination, whatever the source is. */
function unroutable(trace: TraceRecorder, { code }: NetError): TraceAnswer {
  const { destination } = trace.packet;
  switch (code) {
    case 'EINVAL':
      return trace.lose(
        'route',
        `a blackhole route matches ${destination}`,
        `no pod of this node has the address, if --ip-blackhole-route made the route: ip route show type blackhole`,
      );
    case 'EACCES':
      return trace.lose(
        'route',
        `a prohibit route or rule matches ${destination}`,
        'another program made it: ip route show type prohibit; ip rule show',
      );
    default:
      return trace.lose(
        'route',
        `there is no route to ${destination} (${code})`,
        '`ripstop peers` shows which peer owns which subnet; a node that is missing there has no lease',
      );
  }
}
