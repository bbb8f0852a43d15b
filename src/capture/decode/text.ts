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
 * throws; unreadable parts are named as such.
 * @param bytes the captured bytes
 * @param link whether the bytes begin with Ethernet or with IP
 */
export function describePacket(
  bytes: Uint8Array,
  link: 'ethernet' | 'ip',
  options: DissectOptions = {},
): string {
  const layers = dissect(bytes, link, options);
  return link === 'ethernet'
    ? describeEthernet(layers, 0, options.overlay)
    : describeIp(layers, 0, options.overlay);
}

/** Describes the layers from index `at` on. */
function describeEthernet(layers: readonly Layer[], at: number, overlay?: OpenedOverlay): string {
  const layer = layers[at];
  if (layer?.kind !== 'ethernet' || layer.isCut) return `${layer?.length ?? 0} bytes, too short for Ethernet`;
  if (layer.type === ethernet.TYPE_IPV4 || layer.type === ethernet.TYPE_IPV6)
    return describeIp(layers, at + 1, overlay);
  const inside = layers[at + 1];
  return inside?.kind === 'arp' && !inside.isCut
    ? `ARP ${arp.format(inside.header)}`
    : ethernet.format(layer.header);
}

function describeIp(layers: readonly Layer[], at: number, overlay?: OpenedOverlay): string {
  const layer = layers[at];
  if (layer?.kind === 'ipv4' && !layer.isCut) {
    const { protocol, totalLength, fragmentOffset } = layer.header;
    const source = addressText(layer.header.source);
    const destination = addressText(layer.header.destination);
    if (fragmentOffset > 0) return `${source} > ${destination}: fragment at ${fragmentOffset}`;
    const length = totalLength - layer.length;
    return describeUpper(layers, at + 1, { source, destination, protocol, length }, overlay);
  }
  if (layer?.kind === 'ipv6' && !layer.isCut) {
    const { nextHeader, payloadLength } = layer.header;
    const source = addressText(layer.header.source);
    const destination = addressText(layer.header.destination);
    if (!ipv6.isExtension(nextHeader)) {
      const packet = { source, destination, protocol: nextHeader, length: payloadLength };
      return describeUpper(layers, at + 1, packet, overlay);
    }
    const extensions = layers[at + 1];
    if (extensions?.kind !== 'extensions' || extensions.isCut)
      return `${source} > ${destination}: broken extension headers`;
    const { protocol, isLaterFragment } = extensions;
    if (isLaterFragment) return `${source} > ${destination}: fragment`;
    const length = payloadLength - extensions.length;
    return describeUpper(layers, at + 2, { source, destination, protocol, length }, overlay);
  }
  return `${layer?.length ?? 0} bytes that are not an IP packet`;
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
  layers: readonly Layer[],
  at: number,
  { source, destination, protocol, length }: IpPacket,
  overlay: OpenedOverlay | undefined,
): string {
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
        ? describePayload(layers, at + 1, overlay, layer.header)
        : udp.format(layer.header);
    return `${source}.${sourcePort} > ${destination}.${destinationPort}: ${text}`;
  }
  return `${between}: ${NAMES[protocol] ?? `protocol ${protocol}`}, length ${Math.max(0, length)}`;
}

/** Describes the payload of a tunnel datagram. */
function describePayload(
  layers: readonly Layer[],
  at: number,
  overlay: OpenedOverlay,
  datagram: udp.Udp,
): string {
  if (overlay.mode === 'udp') return `| ${describeIp(layers, at)}`;
  const layer = layers[at];
  if (layer?.kind !== 'vxlan' || layer.isCut)
    return `${datagram.totalLength - udp.BYTES} bytes, too short for VXLAN`;
  return `${vxlan.format(layer.header)} | ${describeEthernet(layers, at + 1)}`;
}
