import { outerBytes } from '../../../encap/encap.ts';
import { FORMATS } from '../../../encap/formats.ts';
import { elementAt } from '../../base/at.ts';
import { type DataPlane, VERDICTS } from '../../dataplane/dataplane.ts';
import type { Peer } from '../../dataplane/descriptor/peer.ts';
import { formatEndpoint } from '../../ip/address.ts';
import { baseAddress } from '../../ip/prefix.ts';
import type { Link } from '../../net/rtnetlink/links.ts';
import type { TraceAnswer } from './answer.ts';
import type { KernelLookup } from './kernel-lookup.ts';
import { nameOf, type TraceOverlay } from './node.ts';
import { frameOf, type TracePacket } from './packet.ts';
import type { TraceRecorder } from './recorder.ts';
import { overUnderlay } from './underlay.ts';

/** The way of a packet that is routed to the overlay device. */
export function throughTunnel(
  trace: TraceRecorder,
  kernel: KernelLookup,
  packet: TracePacket,
  overlay: TraceOverlay,
  link: Link,
  gateway: string | undefined,
): TraceAnswer {
  if (!link.up)
    return trace.lose(
      'device',
      `${link.name} is down`,
      `ip link set ${link.name} up; the agent does it, too`,
    );
  let frame = packet.bytes;
  if (overlay.mode === 'vxlan') {
    const mac = resolve(trace, kernel, overlay, link, gateway ?? packet.destination);
    if (typeof mac !== 'string') return mac;
    frame = frameOf(packet, overlay.mac ?? link.mac ?? '', mac);
    if (!overlay.plane) return byKernel(trace, kernel, overlay, link, mac, frame);
  }
  if (!overlay.plane)
    return trace.lose(
      'peer',
      `nobody carries the packets of ${link.name}`,
      'the agent is about to start its data plane',
    );
  return byForwarder(trace, kernel, overlay, overlay.plane, frame, packet.bytes.length);
}

/** The MAC of the gateway, as the kernel has it or would learn it. */
function resolve(
  trace: TraceRecorder,
  kernel: KernelLookup,
  overlay: TraceOverlay,
  link: Link,
  gateway: string,
): string | TraceAnswer {
  const neighbour = kernel.neighbour(link.index, gateway);
  if (neighbour?.mac && neighbour.answers) {
    trace.pass('neighbour', `${gateway} is at ${neighbour.mac} on ${link.name} (${neighbour.state})`);
    return neighbour.mac;
  }
  const owner = overlay.peers.find(peer => peer.subnets.some(subnet => baseAddress(subnet) === gateway));
  if (owner?.mac) {
    trace.pass(
      'neighbour',
      `${gateway} is not known on ${link.name}: Ripstop answers for it with ${owner.mac}`,
    );
    return owner.mac;
  }
  return trace.lose(
    'neighbour',
    `nobody answers for ${gateway} on ${link.name}`,
    'no peer has this address: the route is left over or not ours; `ripstop peers`',
  );
}

/** By the live tables, with the code of the workers. */
function byForwarder(
  trace: TraceRecorder,
  kernel: KernelLookup,
  overlay: TraceOverlay,
  plane: DataPlane,
  frame: Uint8Array,
  packetBytes: number,
): TraceAnswer {
  const context = plane.taps.context();
  const { verdict: number, peer: slot, socket, innerMtu, pathMtu } = plane.classifier().egress(frame);
  const verdict = elementAt(VERDICTS, number);
  const peer = slot < 0 ? undefined : context.peers[slot];
  if (peer) trace.pass('peer', `${nameIn(overlay.peers, peer.id)} (${peer.address})`);
  if (verdict.name === 'too-big')
    return trace.lose(
      'mtu',
      `${packetBytes} bytes, the path to the peer takes ${innerMtu} (${pathMtu} outside)`,
      verdict.remedy,
      `dropped: too-big, ${verdict.meaning}`,
    );
  if (verdict.drop || !peer)
    return trace.lose(
      'peer',
      `${verdict.name}: ${verdict.meaning}`,
      verdict.remedy,
      `dropped: ${verdict.name}, ${verdict.meaning}`,
    );
  const format = FORMATS[context.mode];
  const payload = new Uint8Array(format.headerBytes + frame.length);
  payload.set(format.header(context.vni));
  payload.set(frame, format.headerBytes);
  const from = elementAt(context.addresses, 0);
  const port = context.sourcePorts[socket] ?? context.port;
  const outside = outerBytes(from.includes(':') ? 6 : 4) + payload.length;
  const network = context.mode === 'vxlan' ? `VXLAN, VNI ${context.vni}` : 'bare IP';
  trace.pass(
    'outer',
    `UDP ${formatEndpoint(from, port)} > ${formatEndpoint(peer.address, peer.port)}, ${network}`,
  );
  trace.pass('mtu', `${packetBytes} bytes become ${outside}, the path to the peer takes ${pathMtu}`);
  return (
    overUnderlay(trace, kernel, peer.address, outside) ??
    trace.end('forwarded', `sent to ${nameIn(overlay.peers, peer.id)} in UDP`, {
      ...{ from: from, to: peer.address, payload: Buffer.from(payload).toString('base64') },
      peer: nameIn(overlay.peers, peer.id),
    })
  );
}

/** By the forwarding table of a kernel VXLAN. */
function byKernel(
  trace: TraceRecorder,
  kernel: KernelLookup,
  overlay: TraceOverlay,
  link: Link,
  mac: string,
  frame: Uint8Array,
): TraceAnswer {
  const remote = kernel.forwarding(mac, link.index)?.remote;
  if (!remote)
    return trace.lose(
      'peer',
      `${link.name} has no forwarding entry for ${mac}`,
      `bridge fdb show dev ${link.name}; the agent puts it there for each peer`,
    );
  const peer = overlay.peers.find(one => one.address === remote);
  const { vni = 0, port = 0 } = link.details.vxlan ?? {};
  trace.pass('peer', `${peer ? nameOf(peer) : 'no node that is known'} (${remote})`);
  trace.pass(
    'outer',
    `UDP from ${overlay.address} > ${formatEndpoint(remote, port)}, VXLAN, VNI ${vni}, by the kernel`,
  );
  const payload = Buffer.concat([FORMATS.vxlan.header(vni), frame]);
  const outside = outerBytes(overlay.address.includes(':') ? 6 : 4) + payload.length;
  const name = peer ? nameOf(peer) : remote;
  return (
    overUnderlay(trace, kernel, remote, outside) ??
    trace.end('forwarded', `sent to ${name} by the kernel's VXLAN`, {
      ...{ from: overlay.address, to: remote, payload: payload.toString('base64'), peer: name },
    })
  );
}

function nameIn(peers: readonly Peer[], id: string): string {
  const peer = peers.find(one => one.id === id);
  return peer ? nameOf(peer) : id;
}
