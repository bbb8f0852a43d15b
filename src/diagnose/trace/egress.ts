import type { Link } from '../../net/rtnetlink/links.ts';
import type { TraceAnswer } from './answer.ts';
import { filter } from './kernel/firewall.ts';
import { deliver, mayForward, routeOf } from './kernel/local-delivery.ts';
import { overUnderlay } from './kernel/underlay.ts';
import { masqueraded } from './masquerade.ts';
import { isOwn, nameOf, networkContains, ownerOf } from './node.ts';
import type { TraceRecorder } from './recorder.ts';
import { throughTunnel } from './tunnel.ts';

/** Where a packet begins. */
export interface SourceInterface {
  /** `node`: this node sends it; `inside`: one of its pods does; `outside`: a host outside the cluster does. */
  readonly kind: 'node' | 'inside' | 'outside';
  /** The link that it comes in by, for all but the node itself. */
  readonly link: Link | undefined;
}

const MEANINGS = { node: 'an address of this node', inside: 'a pod behind', outside: 'a host beyond' };

/** A packet that begins at this node, or comes to it from outside of the cluster. */
export async function traceEgress(
  trace: TraceRecorder,
  { kind, link: from }: SourceInterface,
): Promise<TraceAnswer> {
  const { node, packet } = trace;
  const { source, destination } = packet;
  trace.pass('source', `${source} is ${MEANINGS[kind]}${from ? ` ${from.name}` : ''}`);
  const refused = kind === 'node' ? undefined : mayForward(trace, from);
  if (refused) return refused;
  const next = routeOf(trace, from);
  if ('outcome' in next) return next;
  const { route, link } = next;
  const mtu = route.mtu ?? link.mtu;
  if (packet.bytes.length > mtu)
    return trace.lose(
      'mtu',
      `${packet.bytes.length} bytes, the MTU of ${link.name} is ${mtu}; the kernel sends the sender an ICMP error`,
      `the interface of the sender may have an MTU of ${mtu} at most: check the MTU of its pod`,
    );
  const filtered = from && (await filter(trace, from, link));
  if (filtered) return filtered;
  const overlay = node.overlays.find(one => one.device === link.name);
  const leaving = packet.sentOn(await translate(trace, link), kind !== 'node');
  if (overlay) return throughTunnel(trace, leaving, overlay, link, route.gateway);
  const owner = ownerOf(node, destination);
  if (owner && owner.peer.address === route.gateway) {
    const peer = nameOf(owner.peer);
    trace.pass('peer', `${route.gateway} is ${peer}: a plain route without encapsulation`);
    const departure = {
      ...{ from: owner.overlay.address, to: owner.peer.address, payload: null, peer },
      ...{ sourcePort: null, port: null, groupPolicy: false },
    };
    return (
      overUnderlay(trace, owner.peer.address, leaving.bytes.length) ??
      trace.end('forwarded', `sent to ${peer} as it is, by the kernel`, departure)
    );
  }
  return isOwn(node, destination) ? deliver(trace, link) : bypassOverlay(trace, link);
}

/** The source that the rules give the packet, or its own. */
async function translate(trace: TraceRecorder, link: Link): Promise<string> {
  const { node, kernel, packet } = trace;
  if (!node.rules) {
    trace.pass('masquerade', 'no: the agent keeps no NAT rules; rules of other programs are not evaluated');
    return packet.source;
  }
  const { applies, why } = masqueraded(node.rules, packet.source, packet.destination, link.name);
  const isThere = !applies || (await node.hasRules());
  if (!applies || !isThere) {
    trace.pass(
      'masquerade',
      applies ? 'no: the rules are missing, the agent is about to restore them' : `no: ${why}`,
    );
    return packet.source;
  }
  const address = kernel.addressOn(link.index, packet.family);
  trace.pass('masquerade', `yes: ${why}; it leaves as ${address ?? `an address of ${link.name}`}`);
  return address ?? packet.source;
}

/** A device that is not of an overlay: right for destinations outside the cluster, wrong for a pod. */
function bypassOverlay(trace: TraceRecorder, link: Link): TraceAnswer {
  const { destination } = trace.packet;
  const networks = trace.node.overlays.flatMap(overlay => overlay.networks);
  const network = networks.find(one => networkContains(one, destination));
  if (!network) return trace.end('routed-elsewhere', `leaves by ${link.name}, outside the overlay`);
  return trace.lose(
    'peer',
    `${destination} is in the pod network ${network}, and no peer owns it: it leaves by ${link.name}`,
    'the node that owned it has no lease any more, or the address is not a pod: `ripstop peers`',
    `no peer owns ${destination}`,
  );
}
