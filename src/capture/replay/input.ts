import { mapIpv4, viewOf } from '../../../encap/wire/addresses.ts';
import * as ethernet from '../../../encap/wire/ethernet.ts';
import * as ipv4 from '../../../encap/wire/ipv4.ts';
import * as ipv6 from '../../../encap/wire/ipv6.ts';
import * as udp from '../../../encap/wire/udp.ts';
import { linkBytes } from '../../../encap/wire/vlan.ts';
import { FRAME_MAX } from '../../dataplane/descriptor/descriptor.ts';
import { POINT_NAMES } from '../../dataplane/tap/record-layout.ts';
import { mappedBytesOf, requireAddress } from '../../ip/address.ts';
import { parseMac } from '../../ip/mac.ts';
import { type CaptureInterface, LINK_ETHERNET, LINK_RAW, type Packet } from '../format/packet.ts';
import type { ReplayConfig } from './config.ts';

/** A packet of a capture as input of the forwarder. */
export type ReplayInput =
  | { readonly direction: 'egress'; readonly frame: Uint8Array }
  | {
      readonly direction: 'ingress';
      /** UDP payload. */
      readonly payload: Uint8Array;
      /** Underlay source, 16 bytes, IPv4 mapped, and UDP source port. */
      readonly source: Uint8Array;
      readonly port: number;
    };

/** Why a packet of the capture is not replayed. */
export interface NotReplayed {
  readonly skipped: string;
}

/** Cooked captures of `tcpdump -i any`: LINUX_SLL and LINUX_SLL2, header length and offset of the type. */
const COOKED: Readonly<Record<number, readonly [header: number, type: number]>> = {
  113: [16, 14],
  276: [20, 0],
};

/**
 * Classifies a captured packet for the forwarder of `config`. In a capture of Ripstop the interface names decide: inputs
 * are `egress-inner` and `ingress-outer`, and `drop` if the file does not have the input interface. In other captures a
 * tunnel datagram to this node's address is ingress and every other frame is egress. Output of the captured forwarder is
 * not replayed.
 * @param names names of all interfaces of the capture
 */
export function replayInput(
  packet: Packet,
  point: CaptureInterface,
  names: ReadonlySet<string | undefined>,
  config: ReplayConfig,
): ReplayInput | NotReplayed {
  if (packet.length > FRAME_MAX) return { skipped: `${packet.length} bytes exceed the maximum frame length` };
  // Bytes beyond the snap length, usually payload, are replaced with zeros.
  const bytes = new Uint8Array(packet.length);
  bytes.set(packet.bytes);
  const own = POINT_NAMES.find(name => name === point.name);
  if (own === 'egress-outer' || own === 'ingress-inner')
    return { skipped: 'output of the captured forwarder' };
  if (own === 'egress-inner') return frameOf(bytes, point.link, config);
  const outer = readOuter(bytes, point.link, config);
  if (own === 'ingress-outer') return outer?.input ?? { skipped: 'not a datagram of this overlay' };
  if (own === 'drop') {
    const input = packet.direction === 'in' ? 'ingress-outer' : 'egress-inner';
    if (names.has(input)) return { skipped: `also captured at ${input}` };
    if (packet.direction === 'in') return outer?.input ?? { skipped: 'not a datagram of this overlay' };
    return frameOf(bytes, point.link, config);
  }
  if (!outer) return frameOf(bytes, point.link, config);
  if (outer.toUs) return outer.input;
  return {
    skipped: outer.fromUs
      ? 'output of the captured forwarder'
      : `a datagram that is not for ${config.address}`,
  };
}

function frameOf(bytes: Uint8Array, link: number, config: ReplayConfig): ReplayInput | NotReplayed {
  if (config.mode === 'udp') {
    const l3 = networkOffset(bytes, link);
    if (l3 === undefined) return { skipped: 'not an IP packet' };
    return { direction: 'egress', frame: bytes.subarray(l3) };
  }
  if (link !== LINK_ETHERNET) return { skipped: 'not an Ethernet frame, which vxlan needs' };
  const mac = parseMac(config.mac ?? '');
  if (mac?.every((byte, i) => bytes[i] === byte)) return { skipped: 'output of the captured forwarder' };
  return { direction: 'egress', frame: bytes };
}

interface OuterDatagram {
  readonly input: ReplayInput;
  readonly toUs: boolean;
  readonly fromUs: boolean;
}

/** The tunnel datagram in a packet, undefined if there is none. */
function readOuter(bytes: Uint8Array, link: number, config: ReplayConfig): OuterDatagram | undefined {
  const l3 = networkOffset(bytes, link);
  if (l3 === undefined) return undefined;
  const view = viewOf(bytes);
  const length = bytes.length - l3;
  let l4: number;
  let addresses: [Uint8Array, Uint8Array];
  if (ipv4.check(view, l3, length) !== 0) {
    if (ipv4.protocol(view, l3) !== ipv4.PROTOCOL_UDP || ipv4.isFragment(view, l3)) return undefined;
    l4 = l3 + ipv4.headerBytes(view, l3);
    addresses = [mapIpv4(view, l3 + 12), mapIpv4(view, l3 + 16)];
  } else if (ipv6.check(view, l3, length) !== 0) {
    if (ipv6.nextHeader(view, l3) !== ipv4.PROTOCOL_UDP) return undefined;
    l4 = l3 + ipv6.BYTES;
    addresses = [bytes.slice(l3 + 8, l3 + 24), bytes.slice(l3 + 24, l3 + 40)];
  } else return undefined;
  if (udp.check(view, l4, bytes.length - l4) === 0 || udp.destinationPort(view, l4) !== config.port)
    return undefined;
  const payload = bytes.subarray(l4 + udp.BYTES, l4 + udp.totalLength(view, l4));
  const own = mappedBytesOf(requireAddress(config.address));
  const isOwn = (address: Uint8Array) => own.every((byte, i) => address[i] === byte);
  const [source, target] = addresses;
  return {
    input: { direction: 'ingress', payload, source, port: udp.sourcePort(view, l4) },
    toUs: isOwn(target),
    fromUs: isOwn(source),
  };
}

/** Offset of the IP header, undefined if there is none. */
function networkOffset(bytes: Uint8Array, link: number): number | undefined {
  const view = viewOf(bytes);
  if (link === LINK_RAW) return bytes.length > 0 ? 0 : undefined;
  const cooked = COOKED[link];
  const header = cooked ? cooked[0] : link === LINK_ETHERNET ? linkBytes(view, 0, bytes.length) : 0;
  if (header === 0 || bytes.length <= header) return undefined;
  const type = view.getUint16(cooked ? cooked[1] : header - 2);
  return type === ethernet.TYPE_IPV4 || type === ethernet.TYPE_IPV6 ? header : undefined;
}
