import * as vxlan from '../../../encap/vxlan.ts';
import { viewOf } from '../../../encap/wire/addresses.ts';
import * as arp from '../../../encap/wire/arp.ts';
import * as ethernet from '../../../encap/wire/ethernet.ts';
import * as icmp from '../../../encap/wire/icmp.ts';
import * as icmpv6 from '../../../encap/wire/icmpv6.ts';
import * as ipv4 from '../../../encap/wire/ipv4.ts';
import * as ipv6 from '../../../encap/wire/ipv6.ts';
import * as tcp from '../../../encap/wire/tcp.ts';
import * as udp from '../../../encap/wire/udp.ts';
import * as vlan from '../../../encap/wire/vlan.ts';

/** One header of a packet, as it stands in the bytes. */
export interface Layer {
  readonly name: string;
  /** One line about it. */
  readonly summary: string;
  readonly offset: number;
  readonly length: number;
  readonly fields: readonly (readonly [label: string, value: string])[];
}

/** An overlay whose datagrams are opened. */
export interface Overlay {
  readonly mode: 'vxlan' | 'udp';
  readonly port: number;
}

/** The whole packet, what of it was captured, and the overlay. */
interface Reading {
  readonly view: DataView;
  readonly captured: number;
  readonly overlay: Overlay | undefined;
}

/**
 * Takes a packet apart, layer by layer. Never throws: where it cannot be read, or the snap length cut it, the rest is
 * one layer of bytes.
 * @param bytes the captured ones
 * @param length bytes that the packet had
 */
export function layersOf(
  bytes: Uint8Array,
  length: number,
  link: 'ethernet' | 'ip',
  overlay?: Overlay,
): Layer[] {
  // Length fields speak of the whole packet: what was not captured reads as zeros and is never shown.
  const whole = new Uint8Array(Math.max(bytes.length, Math.min(length, 262_144)));
  whole.set(bytes);
  const reading: Reading = { view: viewOf(whole), captured: bytes.length, overlay };
  return link === 'ethernet' ? readEthernet(reading, 0, whole.length) : readIp(reading, 0, whole.length);
}

const hex = (value: number, digits = 4) => `0x${value.toString(16).padStart(digits, '0')}`;

/** A layer and what is inside of it; one whose header was not captured is shown as bytes. */
function nest(reading: Reading, layer: Layer, inside: () => Layer[]): Layer[] {
  const isWhole = layer.offset + layer.length <= reading.captured;
  return isWhole ? [layer, ...inside()] : rest(reading, layer.offset, layer.name);
}

/** What was captured from `offset` on, not taken apart. */
function rest(reading: Reading, offset: number, name = 'Data', end = reading.captured): Layer[] {
  const length = Math.min(end, reading.captured) - offset;
  if (length <= 0) return [];
  const summary = `${length} byte${length === 1 ? '' : 's'}${name === 'Data' ? '' : ', cut short or broken'}`;
  return [{ name, summary, offset, length, fields: [] }];
}

function readEthernet(reading: Reading, off: number, length: number): Layer[] {
  const { view } = reading;
  const header = ethernet.parse(view, off, length);
  const bytes = header ? vlan.linkBytes(view, off, length) : 0;
  if (!header || bytes === 0) return rest(reading, off, 'Ethernet');
  const { source, destination } = header;
  const type = view.getUint16(off + bytes - 2);
  const tags = Array.from({ length: (bytes - ethernet.BYTES) / vlan.BYTES }, (_, at) =>
    vlan.parse(view, off + 12 + at * vlan.BYTES, length),
  );
  const layer: Layer = {
    name: 'Ethernet',
    summary: `${source} → ${destination}`,
    offset: off,
    length: bytes,
    fields: [
      ['Destination', destination],
      ['Source', source],
      ...tags.map((tag, at) => [`VLAN tag ${at + 1}`, tag ? vlan.format(tag) : 'cut short'] as const),
      ['Type', `${hex(type)}${TYPES[type] ? ` (${TYPES[type]})` : ''}`],
    ],
  };
  const inside = off + bytes;
  return nest(reading, layer, () => {
    if (type === ethernet.TYPE_IPV4 || type === ethernet.TYPE_IPV6)
      return readIp(reading, inside, length - bytes);
    return type === ethernet.TYPE_ARP ? readArp(reading, inside, length - bytes) : rest(reading, inside);
  });
}

const TYPES: Readonly<Record<number, string>> = {
  [ethernet.TYPE_IPV4]: 'IPv4',
  [ethernet.TYPE_IPV6]: 'IPv6',
  [ethernet.TYPE_ARP]: 'ARP',
};

function readArp(reading: Reading, off: number, length: number): Layer[] {
  const message = arp.parse(reading.view, off, length);
  if (!message) return rest(reading, off, 'ARP');
  const layer: Layer = {
    name: 'ARP',
    summary: arp.format(message),
    offset: off,
    length: arp.BYTES,
    fields: [
      ['Operation', String(message.operation)],
      ['Sender', `${message.senderAddress} at ${message.senderMac}`],
      ['Target', `${message.targetAddress} at ${message.targetMac}`],
    ],
  };
  return nest(reading, layer, () => []);
}

function readIp(reading: Reading, off: number, length: number): Layer[] {
  const { view } = reading;
  if (length < 1) return [];
  return view.getUint8(off) >> 4 === 6 ? readIpv6(reading, off, length) : readIpv4(reading, off, length);
}

function readIpv4(reading: Reading, off: number, length: number): Layer[] {
  const { view } = reading;
  const header = ipv4.parse(view, off, length);
  if (!header) return rest(reading, off, 'IPv4');
  const bytes = ipv4.headerBytes(view, off);
  const flags = [header.dontFragment ? 'DF' : '', header.moreFragments ? 'MF' : ''].filter(Boolean);
  const good = off + bytes <= reading.captured && ipv4.isChecksumGood(view, off);
  const layer: Layer = {
    name: 'IPv4',
    summary: `${header.source} → ${header.destination}, ttl ${header.ttl}, ${header.totalLength} bytes`,
    offset: off,
    length: bytes,
    fields: [
      ['Source', header.source],
      ['Destination', header.destination],
      ['Time to live', String(header.ttl)],
      ['Protocol', protocolName(header.protocol)],
      ['Total length', String(header.totalLength)],
      ['Type of service', hex(header.tos, 2)],
      ['Identification', hex(header.identification)],
      ['Flags', flags.join(', ') || 'none'],
      ['Fragment offset', String(header.fragmentOffset)],
      ['Checksum', `${hex(ipv4.headerChecksum(view, off))} (${good ? 'right' : 'wrong'})`],
      ...(header.options.length > 0 ? [['Options', `${header.options.length} bytes`] as const] : []),
    ],
  };
  const end = off + header.totalLength;
  return nest(reading, layer, () =>
    header.fragmentOffset > 0
      ? rest(reading, off + bytes, 'Data', end)
      : readUpper(reading, off + bytes, end, header.protocol),
  );
}

function readIpv6(reading: Reading, off: number, length: number): Layer[] {
  const { view } = reading;
  const header = ipv6.parse(view, off, length);
  if (!header) return rest(reading, off, 'IPv6');
  const layer: Layer = {
    name: 'IPv6',
    summary: `${header.source} → ${header.destination}, hop limit ${header.hopLimit}, ${header.payloadLength} bytes`,
    offset: off,
    length: ipv6.BYTES,
    fields: [
      ['Source', header.source],
      ['Destination', header.destination],
      ['Hop limit', String(header.hopLimit)],
      ['Next header', protocolName(header.nextHeader)],
      ['Payload length', String(header.payloadLength)],
      ['Traffic class', hex(header.trafficClass, 2)],
      ['Flow label', hex(header.flowLabel, 5)],
    ],
  };
  return nest(reading, layer, () => readExtensions(reading, off, off + ipv6.BYTES + header.payloadLength));
}

/** What follows the fixed header of an IPv6 packet at `off`. */
function readExtensions(reading: Reading, off: number, end: number): Layer[] {
  const first = off + ipv6.BYTES;
  const upper = ipv6.upper(reading.view, off);
  if (upper < 0) return rest(reading, first, 'Extension headers', end);
  const at = off + ipv6.upperOffset(upper);
  const inside = () =>
    upper & ipv6.UPPER_LATER_FRAGMENT
      ? rest(reading, at, 'Data', end)
      : readUpper(reading, at, end, ipv6.upperProtocol(upper));
  if (at === first) return inside();
  const length = at - first;
  const layer = { name: 'Extension headers', summary: `${length} bytes`, offset: first, length, fields: [] };
  return nest(reading, layer, inside);
}

const PROTOCOLS: Readonly<Record<number, string>> = {
  1: 'ICMP',
  6: 'TCP',
  17: 'UDP',
  44: 'fragment',
  50: 'ESP',
  58: 'ICMPv6',
  132: 'SCTP',
};
const protocolName = (number: number) =>
  PROTOCOLS[number] ? `${number} (${PROTOCOLS[number]})` : String(number);

function readUpper(reading: Reading, off: number, end: number, protocol: number): Layer[] {
  const { view } = reading;
  const length = Math.max(0, end - off);
  switch (protocol) {
    case 6:
      return readTcp(reading, off, length);
    case 17:
      return readUdp(reading, off, length);
    case 1: {
      const header = icmp.parse(view, off, length);
      return readIcmp(reading, off, end, 'ICMP', header && icmp.format(header), header);
    }
    case 58: {
      const header = icmpv6.parse(view, off, length);
      return readIcmp(reading, off, end, 'ICMPv6', header && icmpv6.format(header), header);
    }
    default:
      return rest(reading, off, 'Data', end);
  }
}

function readIcmp(
  reading: Reading,
  off: number,
  end: number,
  name: string,
  summary: string | undefined,
  header: { type: number; code: number; checksum: number; rest: number } | undefined,
): Layer[] {
  if (!header || summary === undefined) return rest(reading, off, name, end);
  const fields = [
    ['Type', String(header.type)],
    ['Code', String(header.code)],
    ['Checksum', hex(header.checksum)],
    ['Rest of header', hex(header.rest, 8)],
  ] as const;
  const layer = { name, summary, offset: off, length: icmp.BYTES, fields };
  return nest(reading, layer, () => rest(reading, off + icmp.BYTES, 'Data', end));
}

function readTcp(reading: Reading, off: number, length: number): Layer[] {
  const { view } = reading;
  const header = tcp.parse(view, off, length);
  if (!header) return rest(reading, off, 'TCP', off + length);
  const bytes = tcp.headerBytes(view, off);
  const payload = length - bytes;
  const layer: Layer = {
    name: 'TCP',
    summary: `${header.sourcePort} → ${header.destinationPort} ${tcp.format(header, payload)}`,
    offset: off,
    length: bytes,
    fields: [
      ['Source port', String(header.sourcePort)],
      ['Destination port', String(header.destinationPort)],
      ['Flags', tcp.formatFlags(header.flags)],
      ['Sequence', String(header.sequence)],
      ['Acknowledgement', String(header.acknowledgement)],
      ['Window', String(header.window)],
      ['Checksum', hex(header.checksum)],
      ['Urgent pointer', String(header.urgentPointer)],
      ['Options', `${header.options.length} bytes`],
      ['Payload', `${payload} bytes`],
    ],
  };
  return nest(reading, layer, () => rest(reading, off + bytes, 'Data', off + length));
}

function readUdp(reading: Reading, off: number, length: number): Layer[] {
  const { view, overlay } = reading;
  const header = udp.parse(view, off, length);
  if (!header) return rest(reading, off, 'UDP', off + length);
  const layer: Layer = {
    name: 'UDP',
    summary: `${header.sourcePort} → ${header.destinationPort}, ${header.totalLength - udp.BYTES} bytes`,
    offset: off,
    length: udp.BYTES,
    fields: [
      ['Source port', String(header.sourcePort)],
      ['Destination port', String(header.destinationPort)],
      ['Length', String(header.totalLength)],
      ['Checksum', header.checksum === 0 ? 'none' : hex(header.checksum)],
    ],
  };
  const inside = off + udp.BYTES;
  const payload = header.totalLength - udp.BYTES;
  // One tunnel is opened, not one inside of another.
  const within: Reading = { ...reading, overlay: undefined };
  return nest(reading, layer, () => {
    if (overlay?.port !== header.destinationPort) return rest(reading, inside, 'Data', inside + payload);
    return overlay.mode === 'udp' ? readIp(within, inside, payload) : readVxlan(within, inside, payload);
  });
}

function readVxlan(reading: Reading, off: number, length: number): Layer[] {
  const header = vxlan.parse(reading.view, off, length);
  if (!header) return rest(reading, off, 'VXLAN');
  const layer: Layer = {
    name: 'VXLAN',
    summary: vxlan.format(header),
    offset: off,
    length: vxlan.HEADER_BYTES,
    fields: [
      ['Flags', hex(vxlan.flagsWord(reading.view, off) >>> 0, 8)],
      ['Network identifier', String(vxlan.vni(reading.view, off))],
    ],
  };
  const inside = off + vxlan.HEADER_BYTES;
  return nest(reading, layer, () => readEthernet(reading, inside, length - vxlan.HEADER_BYTES));
}
