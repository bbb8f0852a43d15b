import { isNetError } from '../../../net/error.ts';
import type { TraceAnswer } from '../answer.ts';
import type { TraceRecorder } from '../recorder.ts';
import { unresolved } from './local-delivery.ts';

/** The path of an IP packet of `bytes` to a peer. @returns the answer when the packet is lost there */
export function overUnderlay(trace: TraceRecorder, address: string, bytes: number): TraceAnswer | undefined {
  const { kernel } = trace;
  try {
    const route = kernel.route(address);
    const link = kernel.link(route.link);
    const hop = route.gateway ?? address;
    const neighbour = link && kernel.neighbour(link.index, hop);
    const path = `${address}${route.gateway ? ` via ${route.gateway}` : ''} dev ${link?.name ?? '-'}`;
    if (link && !link.up)
      return trace.lose('underlay', `${path}, which is down`, `ip link set ${link.name} up`);
    const mtu = route.mtu ?? link?.mtu ?? bytes;
    if (bytes > mtu)
      return trace.lose(
        'underlay',
        `${path}: ${bytes} bytes, the MTU is ${mtu}`,
        'the MTU of the underlay was lowered: raise it again, or lower that of the overlay and of the pods',
      );
    if (link && !neighbour?.answers)
      trace.doubt('underlay', `${path}: ${unresolved(hop, link.name, neighbour)}`);
    else trace.pass('underlay', `${path}, neighbour ${neighbour?.state}`);
    return undefined;
  } catch (error) {
    if (!isNetError(error)) throw error;
    return trace.lose(
      'underlay',
      `there is no route to the address ${address} of the peer (${error.code})`,
      'correct the routes of the underlay: no tunnel works without them',
    );
  }
}
