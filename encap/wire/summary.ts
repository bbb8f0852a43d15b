import { formatIpv4, formatIpv6, formatMac } from './addresses.ts';
import * as arp from './arp.ts';
import * as icmp from './icmp.ts';
import * as icmpv6 from './icmpv6.ts';
import * as ipv4 from './ipv4.ts';
import * as ipv6 from './ipv6.ts';
import * as nd from './nd.ts';
import * as tcp from './tcp.ts';
import * as udp from './udp.ts';
import { linkBytes } from './vlan.ts';

/*
 * One line a frame for people, in the words of `tcpdump -n -t -S` less what it decodes inside UDP and TCP options, for drops,
 * traces and capture comments. Whatever the bytes are, a line comes back; what is wrong stands in square brackets.
 */

/** The line for the Ethernet frame of `length` bytes at `off`. */
export function summarizeEthernet(view: DataView, off: number, length: number): string {
  const link = linkBytes(view, off, length);
  if (link === 0) return `[ethernet header cut short or tagged too often, ${length} bytes]`;
  const type = view.getUint16(off + link - 2);
  const rest = length - link;
  switch (type) {
    case 0x0800:
    case 0x86dd:
      return summarizeIp(view, off + link, rest);
    case 0x0806: {
      const message = arp.parse(view, off + link, rest);
      return message
        ? `ARP, ${arp.format(message)}, length ${rest}`
        : `ARP, [not for IPv4 over Ethernet], length ${rest}`;
    }
    default: {
      const kind =
        type < 0x0600 ? `802.3 length ${type}` : `ethertype 0x${type.toString(16).padStart(4, '0')}`;
      return `${formatMac(view, off + 6)} > ${formatMac(view, off)}, ${kind}, length ${length}`;
    }
  }
}

/** The line for the IP packet of `length` bytes at `off`, of either version. */
export function summarizeIp(view: DataView, off: number, length: number): string {
  if (length < 1) return '[empty packet]';
  switch (view.getUint8(off) >> 4) {
    case 4:
      return summarizeIpv4(view, off, length);
    case 6:
      return summarizeIpv6(view, off, length);
    default:
      return `[IP version ${view.getUint8(off) >> 4}, ${length} bytes]`;
  }
}

function summarizeIpv4(view: DataView, off: number, length: number): string {
  const header = ipv4.check(view, off, length);
  if (header === 0) return `IP [bad header, ${length} bytes]`;
  const source = formatIpv4(view, off + 12);
  const destination = formatIpv4(view, off + 16);
  const protocol = ipv4.protocol(view, off);
  const payload = ipv4.totalLength(view, off) - header;
  if (ipv4.fragmentOffset(view, off) > 0) {
    const at = `id ${ipv4.identification(view, off)}, offset ${ipv4.fragmentOffset(view, off)}`;
    return `IP ${source} > ${destination}: ${protocolName(protocol)} fragment, ${at}, length ${payload}`;
  }
  if (protocol === ipv4.PROTOCOL_ICMP) {
    const message = icmp.parse(view, off + header, payload);
    const text = message ? icmp.format(message, quotedIpv4(view, off + header, payload)) : 'ICMP [cut short]';
    return `IP ${source} > ${destination}: ${text}, length ${payload}`;
  }
  const part = ipv4.moreFragments(view, off) === 1;
  return `IP ${transport(view, off + header, payload, part, protocol, source, destination)}`;
}

function summarizeIpv6(view: DataView, off: number, length: number): string {
  if (ipv6.check(view, off, length) === 0) return `IP6 [bad header, ${length} bytes]`;
  const source = formatIpv6(view, off + 8);
  const destination = formatIpv6(view, off + 24);
  const end = ipv6.BYTES + ipv6.payloadLength(view, off);
  const upper = ipv6.upper(view, off);
  if (upper < 0) return `IP6 ${source} > ${destination}: [bad extension headers], length ${end - ipv6.BYTES}`;
  const protocol = ipv6.upperProtocol(upper);
  const at = ipv6.upperOffset(upper);
  const payload = end - at;
  if (upper & ipv6.UPPER_LATER_FRAGMENT)
    return `IP6 ${source} > ${destination}: frag (${ipv6.fragmentOffset(view, off + at)}|${payload})`;
  if (protocol === ipv6.NEXT_ICMPV6)
    return `IP6 ${source} > ${destination}: ${icmpv6Text(view, off + at, payload)}, length ${payload}`;
  const part = (upper & ipv6.UPPER_FRAGMENT) !== 0;
  return `IP6 ${transport(view, off + at, payload, part, protocol, source, destination)}`;
}

function icmpv6Text(view: DataView, off: number, length: number): string {
  const neighbour = nd.parse(view, off, length);
  if (neighbour) return nd.format(neighbour);
  const message = icmpv6.parse(view, off, length);
  return message ? icmpv6.format(message, quotedIpv6(view, off, length)) : 'ICMP6, [cut short]';
}

/** Destination of the packet that an ICMP error at `off` quotes, undefined when it quotes too little. */
function quotedIpv4(view: DataView, off: number, length: number): string | undefined {
  if (length < icmp.BYTES + ipv4.MIN_BYTES || icmp.isQuery(icmp.type(view, off))) return undefined;
  return formatIpv4(view, off + icmp.BYTES + 16);
}

function quotedIpv6(view: DataView, off: number, length: number): string | undefined {
  if (length < icmpv6.BYTES + ipv6.BYTES || !icmpv6.isError(icmpv6.type(view, off))) return undefined;
  return formatIpv6(view, off + icmpv6.BYTES + 24);
}

/** `part`: a first fragment, so lengths in the header speak of more than is here. */
function transport(
  view: DataView,
  off: number,
  length: number,
  part: boolean,
  protocol: number,
  source: string,
  destination: string,
): string {
  if (protocol === ipv4.PROTOCOL_TCP) {
    const header = tcp.parse(view, off, length);
    if (!header) return `${source} > ${destination}: TCP [bad header], length ${length}`;
    const text = tcp.format(header, length - tcp.headerBytes(view, off));
    return `${source}.${header.sourcePort} > ${destination}.${header.destinationPort}: ${text}`;
  }
  if (protocol === ipv4.PROTOCOL_UDP) {
    const header = udp.parse(view, off, part && length >= udp.BYTES ? udp.totalLength(view, off) : length);
    if (!header) return `${source} > ${destination}: UDP [bad header], length ${length}`;
    return `${source}.${header.sourcePort} > ${destination}.${header.destinationPort}: ${udp.format(header)}`;
  }
  return `${source} > ${destination}: ${protocolName(protocol)}, length ${length}`;
}

const PROTOCOL_NAMES: Readonly<Record<number, string>> = {
  1: 'ICMP',
  2: 'igmp',
  4: 'IPIP',
  6: 'TCP',
  17: 'UDP',
  41: 'IP6',
  47: 'GRE',
  50: 'ESP',
  51: 'AH',
  58: 'ICMP6',
  59: 'no next header',
  132: 'sctp',
};

function protocolName(protocol: number): string {
  return PROTOCOL_NAMES[protocol] ?? `ip-proto-${protocol}`;
}
