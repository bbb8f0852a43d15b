import { OK, RUNT as RUNT_FAULT } from '../../../encap/encap.ts';
import { FORMATS } from '../../../encap/formats.ts';
import { clearRemoteChecksum } from '../../../encap/vxlan.ts';
import { viewOf } from '../../../encap/wire/addresses.ts';
import { elementAt } from '../../base/at.ts';
import { RUNT, VERDICTS } from '../../dataplane/descriptor/verdicts.ts';
import type { PlaneDecisions } from '../../dataplane/replay/plane-copy.ts';
import { mappedBytesOf, requireAddress } from '../../ip/address.ts';
import { macText } from '../../net/address-bytes.ts';
import type { Link } from '../../net/rtnetlink/links.ts';
import type { TraceAnswer, TraceArrival } from './answer.ts';
import type { TraceRecorder } from './recorder.ts';

/** Verdict of a fault that `check` of the encapsulation returned: the two have the same order. */
const WIRE_FAULT = RUNT - RUNT_FAULT;

/** An arrival with encapsulation. */
type Datagram = TraceArrival & { readonly payload: string };

/**
 * What this node does with a packet on the underlay.
 * @returns the device by which the inner packet comes in, or the answer when it is dropped
 */
export function decapsulate(trace: TraceRecorder, arrival: TraceArrival): Link | TraceAnswer {
  const { node, kernel } = trace;
  const { from, to, payload } = arrival;
  if (payload === null) {
    const device = kernel.link(node.underlay);
    if (!device) return noDevice(trace, node.underlay);
    trace.pass('decap', `none: ${from} sends the packet without encapsulation; it arrives on ${device.name}`);
    return device;
  }
  const tunnels = node.overlays.filter(({ address, port }) => address === to && port !== undefined);
  const [first] = tunnels;
  if (!first)
    return trace.lose(
      'decap',
      `no tunnel of this node has the address ${to}`,
      'the peer uses an address or a backend that this node does not have: compare `ripstop status` on both; restart the agent that differs',
    );
  const overlay = tunnels.find(({ port }) => arrival.port === null || port === arrival.port);
  if (!overlay)
    return trace.lose(
      'decap',
      `the datagram goes to UDP port ${arrival.port}, and ${first.device} of this node receives on port ${first.port}`,
      'make Backend.Port, or the key port of a static file, equal on all nodes',
    );
  const device = kernel.link(overlay.device);
  if (!device) return noDevice(trace, overlay.device);
  const datagram = { ...arrival, payload };
  const refused = overlay.plane
    ? byForwarder(trace, overlay.plane, datagram)
    : byKernel(trace, device, datagram);
  return refused ?? device;
}

function noDevice(trace: TraceRecorder, name: string | undefined): TraceAnswer {
  return trace.lose(
    'decap',
    `the interface ${name} is missing`,
    'the agent is about to make it again: `ripstop status`',
  );
}

/** The source check of the data plane, by its live tables. */
function byForwarder(
  trace: TraceRecorder,
  plane: PlaneDecisions,
  { from, payload, groupPolicy }: Datagram,
): TraceAnswer | undefined {
  const datagram = Buffer.from(payload, 'base64');
  const { verdict } = plane.classifier().ingress(datagram, mappedBytesOf(requireAddress(from)));
  const { name, drop, meaning, remedy } = elementAt(VERDICTS, verdict);
  if (drop) return trace.lose('decap', `${name}: ${meaning}`, remedy, `dropped: ${name}, ${meaning}`);
  if (groupPolicy) doubtMark(trace, 'Ripstop drops it (bad-flags)');
  else trace.pass('decap', `${name}: ${from} is a peer and owns the source address`);
  return undefined;
}

/** What the kernel's VXLAN receives: port, flags, network and MAC. It does not look at the sender. */
function byKernel(
  trace: TraceRecorder,
  device: Link,
  { port, payload, groupPolicy }: Datagram,
): TraceAnswer | undefined {
  const { vxlan } = device.details;
  if (!vxlan)
    return trace.lose(
      'decap',
      `${device.name} is not a VXLAN of the kernel, and no data plane carries its packets`,
      'the agent is about to make it again: `ripstop status`',
    );
  if (port !== null && port !== vxlan.port)
    return trace.lose(
      'decap',
      `the datagram goes to UDP port ${port}, and ${device.name} receives on port ${vxlan.port}`,
      'make Backend.Port equal on all nodes',
    );
  const datagram = Uint8Array.from(Buffer.from(payload, 'base64'));
  const view = viewOf(datagram);
  const hasFlag = datagram.length >= FORMATS.vxlan.headerBytes && clearRemoteChecksum(view, 0);
  if (hasFlag && !vxlan.remoteChecksum.receives)
    return trace.lose(
      'decap',
      `the header has the flag of remote checksum offload, and ${device.name} of the kernel does not accept it`,
      'switch remoteChecksum off for this node at the sender, or make the device with remcsumrx',
    );
  const fault = FORMATS.vxlan.check(view, 0, datagram.length, vxlan.vni);
  if (fault !== OK) {
    const { name, meaning, remedy } = elementAt(VERDICTS, WIRE_FAULT + fault);
    return trace.lose('decap', `${name}: ${meaning}`, remedy, `dropped by ${device.name}: ${meaning}`);
  }
  const mac = macText(datagram.subarray(8, 14));
  if (mac !== device.mac)
    return trace.lose(
      'decap',
      `the frame is for the MAC ${mac}, and ${device.name} has ${device.mac}`,
      'the lease of this node has another MAC than its device: restart its agent',
    );
  if (groupPolicy && !vxlan.gbp) doubtMark(trace, 'the kernel drops it');
  else trace.pass('decap', `by the kernel on ${device.name} (UDP port ${vxlan.port}, VNI ${vxlan.vni})`);
  return undefined;
}

/** The sender has GBP and this node has not. The traced packet has no mark; a real one may have. */
function doubtMark(trace: TraceRecorder, what: string): void {
  trace.doubt(
    'decap',
    `the sender has GBP on and this node has not: if the packet has a mark, ${what}; make Backend.GBP equal on all nodes`,
  );
}
