import type { TraceAnswer, TraceArrival } from './answer.ts';
import { decapsulate } from './decapsulation.ts';
import { filter } from './kernel/firewall.ts';
import { deliver, mayForward, routeOf } from './kernel/local-delivery.ts';
import type { TraceRecorder } from './recorder.ts';

/** Traces a packet that another node sent. */
export async function traceIngress(trace: TraceRecorder, arrival: TraceArrival): Promise<TraceAnswer> {
  const device = decapsulate(trace, arrival);
  if ('outcome' in device) return device;
  const refused = mayForward(trace, device);
  if (refused) return refused;
  const next = routeOf(trace, device);
  if ('outcome' in next) return next;
  const { link } = next;
  if (link.index === device.index)
    return trace.lose(
      'route',
      `the packet would leave by ${link.name} again: the address is not a pod of this node`,
      'two nodes disagree about the owner of the address: compare `ripstop peers` on both',
    );
  return (await filter(trace, device, link)) ?? deliver(trace, link);
}
