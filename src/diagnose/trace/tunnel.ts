import { outerBytes } from '../../../encap/encap.ts';
import { FORMATS } from '../../../encap/formats.ts';
import { elementAt } from '../../base/at.ts';
import { VERDICTS } from '../../dataplane/descriptor/verdicts.ts';
import type { PlaneDecisions } from '../../dataplane/replay/plane-copy.ts';
import { formatEndpoint } from '../../ip/address.ts';
import { baseAddress } from '../../ip/prefix.ts';
import type { Link } from '../../net/rtnetlink/links.ts';
import type { TraceAnswer, TraceDeparture } from './answer.ts';
import { datagramOf } from './datagram.ts';
import { overUnderlay } from './kernel/underlay.ts';
import { nameOf, type TraceOverlay } from './node.ts';
import { frameOf, type TracePacket } from './packet.ts';
import type { TraceRecorder } from './recorder.ts';

/** A device of this name that is not a VXLAN. */
const UNKNOWN_VXLAN = { vni: 0, port: 0, gbp: false, remoteChecksum: { sends: false } } as const;

/** The path of a packet that is routed to the overlay device `link`. */
export function throughTunnel(
  trace: TraceRecorder,
  packet: TracePacket,
  overlay: TraceOverlay,
  link: Link,
  gateway: string | undefined,
): TraceAnswer {
  if (!link.up)
    return trace.lose(
      'device',
      `${link.name} is down`,
      `ip link set ${link.name} up; the agent also restores it`,
    );
  let frame = packet.bytes;
  if (overlay.mode === 'vxlan') {
    const mac = resolve(trace, overlay, link, gateway ?? packet.destination);
    if (typeof mac !== 'string') return mac;
    frame = frameOf(packet, overlay.mac ?? link.mac ?? '', mac);
    if (!overlay.plane) return byKernel(trace, packet, overlay, link, mac, frame);
  }
  if (!overlay.plane)
    return trace.lose(
      'peer',
      `no data plane carries the packets of ${link.name}`,
      'the agent is about to start its data plane',
    );
  return byForwarder(trace, packet, overlay, overlay.plane, frame);
}

/** The MAC of the gateway, as the kernel has it or would learn it. */
function resolve(
  trace: TraceRecorder,
  overlay: TraceOverlay,
  link: Link,
  gateway: string,
): string | TraceAnswer {
  const neighbour = trace.kernel.neighbour(link.index, gateway);
  if (neighbour?.mac && neighbour.answers) {
    trace.pass('neighbour', `${gateway} is at ${neighbour.mac} on ${link.name} (${neighbour.state})`);
    return neighbour.mac;
  }
  const owner = overlay.peers.find(peer => peer.subnets.some(subnet => baseAddress(subnet) === gateway));
  if (!owner?.mac)
    return trace.lose(
      'neighbour',
      `no neighbour answers for ${gateway} on ${link.name}`,
      'no peer has this address: the route is stale, or another program made it; `ripstop peers`',
    );
  const state = neighbour ? `is ${neighbour.state}` : 'is not known';
  if (overlay.plane)
    trace.pass(
      'neighbour',
      `${gateway} ${state} on ${link.name}: Ripstop answers the kernel with ${owner.mac}`,
    );
  else
    trace.doubt(
      'neighbour',
      `${gateway} ${state} on ${link.name}: the packet waits until the agent restores the entry`,
    );
  return owner.mac;
}

/** Forwarding by the live tables, with the code of the workers. */
function byForwarder(
  trace: TraceRecorder,
  packet: TracePacket,
  overlay: TraceOverlay,
  plane: PlaneDecisions,
  frame: Uint8Array,
): TraceAnswer {
  const context = plane.context();
  const { verdict, peer: slot, socket, record } = plane.classifier().egress(frame);
  const { name: reason, drop, meaning, remedy } = elementAt(VERDICTS, verdict);
  const peer = slot < 0 ? undefined : context.peers[slot];
  const known = overlay.peers.find(one => one.id === peer?.id);
  const name = known ? nameOf(known) : (peer?.id ?? '');
  if (peer) trace.pass('peer', `${name} (${peer.address})`);
  const size = packet.bytes.length;
  if (drop || !peer || !record) {
    const isTooBig = reason === 'too-big';
    const what = `${size} bytes, the path to the peer carries ${record?.innerMtu} (path MTU ${record?.pathMtu})`;
    const [step, text] = isTooBig ? ['mtu', what] : ['peer', `${reason}: ${meaning}`];
    return trace.lose(step, text, remedy, `dropped: ${reason}, ${meaning}`);
  }
  const remoteChecksum = record.remoteChecksum === true && plane.leavesChecksums;
  const payload = datagramOf(packet, frame, { header: record.header, remoteChecksum });
  const from = elementAt(context.addresses, 0);
  const sourcePort = context.sourcePorts[socket] ?? context.port;
  const ends = `${formatEndpoint(from, sourcePort)} > ${formatEndpoint(peer.address, peer.port)}`;
  const partial = remoteChecksum && packet.partial ? ', inner checksum left to the peer' : '';
  trace.pass(
    'outer',
    `UDP ${ends}, ${context.mode === 'vxlan' ? `VXLAN, VNI ${context.vni}${partial}` : 'bare IP'}`,
  );
  const outside = outerBytes(from.includes(':') ? 6 : 4) + payload.length;
  trace.pass('mtu', `${size} bytes become ${outside}, the path MTU is ${record.pathMtu}`);
  const departure = {
    ...{ from, to: peer.address, sourcePort, port: peer.port, groupPolicy: false, peer: name },
    payload: Buffer.from(payload).toString('base64'),
  };
  return sent(trace, departure, outside, `sent to ${name} in UDP`);
}

/** Forwarding by the table of a kernel VXLAN. */
function byKernel(
  trace: TraceRecorder,
  packet: TracePacket,
  overlay: TraceOverlay,
  link: Link,
  mac: string,
  frame: Uint8Array,
): TraceAnswer {
  const remote = trace.kernel.forwarding(mac, link.index)?.remote;
  if (!remote)
    return trace.lose(
      'peer',
      `${link.name} has no forwarding entry for ${mac}`,
      `bridge fdb show dev ${link.name}; the agent makes an entry for each peer`,
    );
  const peer = overlay.peers.find(one => one.address === remote);
  const { vni, port, gbp, remoteChecksum } = link.details.vxlan ?? UNKNOWN_VXLAN;
  trace.pass('peer', `${peer ? nameOf(peer) : 'an unknown node'} (${remote})`);
  const ends = `${overlay.address} > ${formatEndpoint(remote, port)}`;
  trace.pass('outer', `UDP from ${ends}, VXLAN, VNI ${vni}, by the kernel`);
  const header = FORMATS.vxlan.header(vni);
  const payload = datagramOf(packet, frame, { header, remoteChecksum: remoteChecksum.sends });
  const outside = outerBytes(overlay.address.includes(':') ? 6 : 4) + payload.length;
  const name = peer ? nameOf(peer) : remote;
  const departure = {
    ...{ from: overlay.address, to: remote, sourcePort: null, port, groupPolicy: gbp, peer: name },
    payload: Buffer.from(payload).toString('base64'),
  };
  return sent(trace, departure, outside, `sent to ${name} by the kernel's VXLAN`);
}

/** @param bytes of the outer packet */
function sent(trace: TraceRecorder, departure: TraceDeparture, bytes: number, verdict: string): TraceAnswer {
  return overUnderlay(trace, departure.to, bytes) ?? trace.end('forwarded', verdict, departure);
}
