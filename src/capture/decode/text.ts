import { type DissectOptions, dissect, type Layer, type OpenedOverlay } from '../../../encap/dissect.ts';
import * as vxlan from '../../../encap/vxlan.ts';
import { addressText } from '../../../encap/wire/addresses.ts';
import * as arp from '../../../encap/wire/arp.ts';
import * as ethernet from '../../../encap/wire/ethernet.ts';
import * as ipv4 from '../../../encap/wire/ipv4.ts';
import * as ipv6 from '../../../encap/wire/ipv6.ts';
import * as tcp from '../../../encap/wire/tcp.ts';
import * as udp from '../../../encap/wire/udp.ts';

/**
 * Describes a frame in one line, in the notation of tcpdump: `10.244.1.5.40000 > 10.244.2.9.80: TCP Flags [S], …`. Never
 * throws; unreadable parts are named as such, and what the snap length cut off is told apart from what is broken.
 * @param bytes the captured bytes
 * @param link whether the bytes begin with Ethernet or with IP
 */
export function describePacket(
  bytes: Uint8Array,
  link: 'ethernet' | 'ip',
  options: DissectOptions = {},
): string {
  const layers = dissect(bytes, link, options);
  const isCut = bytes.length < (options.length ?? bytes.length);
  const packet: Dissected = { layers, isCut, overlay: options.overlay };
  return link === 'ethernet' ? describeEthernet(packet, 0) : describeIp(packet, 0);
}

/** The layers of a packet. */
interface Dissected {
  readonly layers: readonly Layer[];
  /** The snap length cut bytes off. */
  readonly isCut: boolean;
  readonly overlay: OpenedOverlay | undefined;
}

/** Describes the layers from index `at` on. */
function describeEthernet(packet: Dissected, at: number): string {
  const { layers } = packet;
  const layer = layers[at];
  if (layer?.kind !== 'ethernet' || layer.isCut)
    return packet.isCut ? 'Ethernet, cut short' : `${layer?.length ?? 0} bytes, too short for Ethernet`;
  if (layer.type === ethernet.TYPE_IPV4 || layer.type === ethernet.TYPE_IPV6)
    return describeIp(packet, at + 1);
  const inside = layers[at + 1];
  return inside?.kind === 'arp' && !inside.isCut
    ? `ARP ${arp.format(inside.header)}`
    : ethernet.format(layer.header);
}

function describeIp(packet: Dissected, at: number): string {
  const { layers } = packet;
  const layer = layers[at];
  if (layer?.kind === 'ipv4' && !layer.isCut) {
    const { protocol, totalLength, fragmentOffset } = layer.header;
    const source = addressText(layer.header.source);
    const destination = addressText(layer.header.destination);
    if (fragmentOffset > 0) return `${source} > ${destination}: fragment at ${fragmentOffset}`;
    const length = totalLength - layer.length;
    return describeUpper(packet, at + 1, { source, destination, protocol, length });
  }
  if (layer?.kind === 'ipv6' && !layer.isCut) {
    const { nextHeader, payloadLength } = layer.header;
    const source = addressText(layer.header.source);
    const destination = addressText(layer.header.destination);
    if (!ipv6.isExtension(nextHeader)) {
      return describeUpper(packet, at + 1, {
        source,
        destination,
        protocol: nextHeader,
        length: payloadLength,
      });
    }
    const extensions = layers[at + 1];
    if (extensions?.kind !== 'extensions' || extensions.isCut)
      return `${source} > ${destination}: ${packet.isCut ? 'extension headers, cut short' : 'broken extension headers'}`;
    const { protocol, isLaterFragment } = extensions;
    if (isLaterFragment) return `${source} > ${destination}: fragment`;
    const length = payloadLength - extensions.length;
    return describeUpper(packet, at + 2, { source, destination, protocol, length });
  }
  return packet.isCut ? 'IP, cut short' : `${layer?.length ?? 0} bytes that are not an IP packet`;
}

/** Fields of the IP headers that describe their payload. */
interface IpPacket {
  readonly source: string;
  readonly destination: string;
  readonly protocol: number;
  /** Bytes of the payload. */
  readonly length: number;
}

const NAMES: Readonly<Record<number, string>> = {
  [ipv4.PROTOCOL_ICMP]: 'ICMP',
  [ipv6.NEXT_ICMPV6]: 'ICMPv6',
  [ipv4.PROTOCOL_SCTP]: 'SCTP',
};

function describeUpper(
  packet: Dissected,
  at: number,
  { source, destination, protocol, length }: IpPacket,
): string {
  const { layers, overlay } = packet;
  const layer = layers[at];
  const between = `${source} > ${destination}`;
  if (protocol === ipv4.PROTOCOL_TCP) {
    if (layer?.kind !== 'tcp') return `${between}: TCP, cut short`;
    const { sourcePort, destinationPort } = layer.header;
    const text = tcp.format(layer.header, layer.payload);
    return `${source}.${sourcePort} > ${destination}.${destinationPort}: TCP ${text}`;
  }
  if (protocol === ipv4.PROTOCOL_UDP) {
    if (layer?.kind !== 'udp') return `${between}: UDP, cut short`;
    const { sourcePort, destinationPort } = layer.header;
    const text =
      overlay?.port === destinationPort
        ? describePayload(packet, at + 1, overlay, layer.header)
        : udp.format(layer.header);
    return `${source}.${sourcePort} > ${destination}.${destinationPort}: ${text}`;
  }
  return `${between}: ${NAMES[protocol] ?? `protocol ${protocol}`}, length ${Math.max(0, length)}`;
}

/** Describes the payload of a tunnel datagram. */
function describePayload(packet: Dissected, at: number, overlay: OpenedOverlay, datagram: udp.Udp): string {
  if (overlay.mode === 'udp') return `| ${describeIp(packet, at)}`;
  const layer = packet.layers[at];
  if (layer?.kind !== 'vxlan' || layer.isCut)
    return packet.isCut
      ? 'VXLAN, cut short'
      : `${datagram.totalLength - udp.BYTES} bytes, too short for VXLAN`;
  return `${vxlan.format(layer.header)} | ${describeEthernet(packet, at + 1)}`;
}
