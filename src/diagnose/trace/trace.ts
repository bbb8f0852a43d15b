import { FORMATS } from '../../../encap/formats.ts';
import { isNetError } from '../../net/error.ts';
import type { TraceAnswer, TraceArrival, TraceRequest } from './answer.ts';
import { datagramOf } from './datagram.ts';
import { type SourceInterface, traceEgress } from './egress.ts';
import { traceIngress } from './ingress.ts';
import type { KernelLookup } from './kernel/kernel-lookup.ts';
import { isOwn, nameOf, ownerOf, type TraceNode } from './node.ts';
import { buildPacket, frameOf } from './packet.ts';
import { TraceRecorder } from './recorder.ts';

/**
 * What a node would do with a packet, by the tables of its data plane and the state of its kernel.
 * @throws RipstopError ECONFIG for a packet that cannot be
 */
export async function tracePacket(
  node: TraceNode,
  kernel: KernelLookup,
  request: TraceRequest,
): Promise<TraceAnswer> {
  const packet = buildPacket(request);
  const trace = new TraceRecorder(node, kernel, packet);
  kernel.onDoubt = text => trace.doubt('route', text);
  const arrival = request.arrival ?? arrivalFromPeer(trace);
  if (arrival) return traceIngress(trace, arrival);
  const origin = originOf(trace);
  if (origin) return traceEgress(trace, origin);
  return trace.lose(
    'source',
    `there is no route to ${packet.source}: it is not a pod, a peer or a host that this node can reach`,
    'is the address right? `ripstop peers` and `ripstop status` show the subnets',
  );
}

/** A packet whose source is a pod of a peer, as that peer would send it. */
function arrivalFromPeer(trace: TraceRecorder): TraceArrival | undefined {
  const { node, packet } = trace;
  const owner = ownerOf(node, packet.source);
  if (!owner) return undefined;
  const { overlay, peer } = owner;
  trace.pass('source', `${packet.source} is a pod of ${nameOf(peer)} (${peer.address})`);
  trace.ingressPeer = nameOf(peer);
  const ends = { from: peer.address, to: overlay.address, groupPolicy: false };
  if (overlay.mode === 'host-gw' || peer.direct) return { ...ends, payload: null, port: null };
  const isVxlan = overlay.mode === 'vxlan';
  const frame = isVxlan ? frameOf(packet, peer.mac ?? '', overlay.mac ?? '') : packet.bytes;
  const header = FORMATS[isVxlan ? 'vxlan' : 'udp'].header(overlay.vni);
  const remoteChecksum = isVxlan && peer.remoteChecksum === true;
  const payload = datagramOf(packet, frame, { header, remoteChecksum });
  return { ...ends, payload: Buffer.from(payload).toString('base64'), port: overlay.port ?? null };
}

function originOf({ node, kernel, packet: { source } }: TraceRecorder): SourceInterface | undefined {
  try {
    const route = kernel.route(source);
    if (route.type === 'local') return { kind: 'node', link: undefined };
    const link = kernel.link(route.link);
    return link && { kind: isOwn(node, source) ? 'inside' : 'outside', link };
  } catch (error) {
    if (isNetError(error)) return undefined;
    throw error;
  }
}
