import { isNetError } from '../../net/error.ts';
import type { TraceAnswer } from './answer.ts';
import type { KernelLookup } from './kernel-lookup.ts';
import type { TraceRecorder } from './recorder.ts';

/**
 * The way of an IP packet of `bytes` to a peer.
 * @returns the answer when it ends here
 */
export function overUnderlay(
  trace: TraceRecorder,
  kernel: KernelLookup,
  address: string,
  bytes: number,
): TraceAnswer | undefined {
  try {
    const route = kernel.route(address);
    const link = kernel.link(route.link);
    const hop = route.gateway ?? address;
    const neighbour = link && kernel.neighbour(link.index, hop);
    const way = `${address}${route.gateway ? ` via ${route.gateway}` : ''} dev ${link?.name ?? '-'}`;
    if (link && !link.up)
      return trace.lose('underlay', `${way}, which is down`, `ip link set ${link.name} up`);
    if (neighbour && !neighbour.answers)
      return trace.lose(
        'underlay',
        `${way}: nobody answers for ${hop} (${neighbour.state})`,
        `is ${hop} up, and on the same network? ping ${hop}`,
      );
    const mtu = route.mtu ?? link?.mtu ?? bytes;
    if (bytes > mtu)
      return trace.lose(
        'underlay',
        `${way}: ${bytes} bytes, it takes ${mtu}`,
        'the MTU of the underlay was lowered: raise it again, or lower that of the overlay and of the pods',
      );
    trace.pass('underlay', `${way}${neighbour ? `, neighbour ${neighbour.state}` : ''}`);
    return undefined;
  } catch (error) {
    if (!isNetError(error)) throw error;
    return trace.lose(
      'underlay',
      `there is no route to the peer's address ${address} (${error.code})`,
      'mend the routes of the underlay: without them no tunnel works',
    );
  }
}
