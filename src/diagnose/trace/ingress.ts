import { elementAt } from '../../base/at.ts';
import { VERDICTS } from '../../dataplane/dataplane.ts';
import { mappedBytesOf, requireAddress } from '../../ip/address.ts';
import type { Link } from '../../net/rtnetlink/links.ts';
import type { TraceAnswer, TraceArrival } from './answer.ts';
import { filter } from './firewall.ts';
import { deliver, mayForward, routeOf } from './local-delivery.ts';
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

/** Decapsulates a datagram and checks its source. @returns the device of the inner packet, or the answer if it is dropped */
function decapsulate(trace: TraceRecorder, { from, to, payload }: TraceArrival): Link | TraceAnswer {
  const { node, kernel } = trace;
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
  if (!overlay?.plane) {
    trace.pass('decap', `by the kernel on ${device.name}`);
    return device;
  }
  const datagram = Buffer.from(payload, 'base64');
  const { verdict } = overlay.plane.classifier().ingress(datagram, mappedBytesOf(requireAddress(from)));
  const { name, drop, meaning, remedy } = elementAt(VERDICTS, verdict);
  if (drop) return trace.lose('decap', `${name}: ${meaning}`, remedy, `dropped: ${name}, ${meaning}`);
  trace.pass('decap', `${name}: ${from} is a peer and owns the source address`);
  return device;
}
