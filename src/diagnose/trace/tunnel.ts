import { outerBytes } from '../../../encap/encap.ts';
import { FORMATS } from '../../../encap/formats.ts';
import { elementAt } from '../../base/at.ts';
import { type DataPlane, VERDICTS } from '../../dataplane/dataplane.ts';
import { formatEndpoint } from '../../ip/address.ts';
import { baseAddress } from '../../ip/prefix.ts';
import type { Link } from '../../net/rtnetlink/links.ts';
import type { TraceAnswer } from './answer.ts';
import { nameOf, type TraceOverlay } from './node.ts';
import { frameOf, type TracePacket } from './packet.ts';
import type { TraceRecorder } from './recorder.ts';
import { overUnderlay } from './underlay.ts';

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
    if (!overlay.plane) return byKernel(trace, overlay, link, mac, frame);
  }
  if (!overlay.plane)
    return trace.lose(
      'peer',
      `no data plane carries the packets of ${link.name}`,
      'the agent is about to start its data plane',
    );
  return byForwarder(trace, overlay, overlay.plane, frame, packet.bytes.length);
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
  trace.pass(
    'neighbour',
    `${gateway} is not known on ${link.name}: Ripstop answers for it with ${owner.mac}`,
  );
  return owner.mac;
}

/** Forwarding by the live tables, with the code of the workers. */
function byForwarder(
  trace: TraceRecorder,
  overlay: TraceOverlay,
  plane: DataPlane,
  frame: Uint8Array,
  packetBytes: number,
): TraceAnswer {
  const context = plane.taps.context();
  const { verdict, peer: slot, socket, innerMtu, pathMtu } = plane.classifier().egress(frame);
  const { name: reason, drop, meaning, remedy } = elementAt(VERDICTS, verdict);
  const peer = slot < 0 ? undefined : context.peers[slot];
  const known = overlay.peers.find(one => one.id === peer?.id);
  const name = known ? nameOf(known) : (peer?.id ?? '');
  if (peer) trace.pass('peer', `${name} (${peer.address})`);
  if (drop || !peer) {
    const isTooBig = reason === 'too-big';
    const what = `${packetBytes} bytes, the path to the peer carries ${innerMtu} (path MTU ${pathMtu})`;
    const [step, text] = isTooBig ? ['mtu', what] : ['peer', `${reason}: ${meaning}`];
    return trace.lose(step, text, remedy, `dropped: ${reason}, ${meaning}`);
  }
  const { header, headerBytes } = FORMATS[context.mode];
  const payload = new Uint8Array(headerBytes + frame.length);
  payload.set(header(context.vni));
  payload.set(frame, headerBytes);
  const from = elementAt(context.addresses, 0);
  const ends = `${formatEndpoint(from, context.sourcePorts[socket] ?? context.port)} > ${formatEndpoint(peer.address, peer.port)}`;
  trace.pass('outer', `UDP ${ends}, ${context.mode === 'vxlan' ? `VXLAN, VNI ${context.vni}` : 'bare IP'}`);
  const outside = outerBytes(from.includes(':') ? 6 : 4) + payload.length;
  trace.pass('mtu', `${packetBytes} bytes become ${outside}, the path MTU is ${pathMtu}`);
  return sent(trace, from, peer.address, outside, payload, name, `sent to ${name} in UDP`);
}

/** Forwarding by the table of a kernel VXLAN. */
function byKernel(
  trace: TraceRecorder,
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
  const { vni = 0, port = 0 } = link.details.vxlan ?? {};
  trace.pass('peer', `${peer ? nameOf(peer) : 'an unknown node'} (${remote})`);
  const ends = `${overlay.address} > ${formatEndpoint(remote, port)}`;
  trace.pass('outer', `UDP from ${ends}, VXLAN, VNI ${vni}, by the kernel`);
  const payload = Buffer.concat([FORMATS.vxlan.header(vni), frame]);
  const outside = outerBytes(overlay.address.includes(':') ? 6 : 4) + payload.length;
  const name = peer ? nameOf(peer) : remote;
  return sent(
    trace,
    overlay.address,
    remote,
    outside,
    payload,
    name,
    `sent to ${name} by the kernel's VXLAN`,
  );
}

/** @param bytes of the outer packet */
function sent(
  trace: TraceRecorder,
  from: string,
  to: string,
  bytes: number,
  payload: Uint8Array,
  peer: string,
  verdict: string,
): TraceAnswer {
  const departure = { from, to, payload: Buffer.from(payload).toString('base64'), peer };
  return overUnderlay(trace, to, bytes) ?? trace.end('forwarded', verdict, departure);
}
