import type { HeaderKind, Layer } from '../../../encap/dissect.ts';
import * as vxlan from '../../../encap/vxlan.ts';
import { addressText, macText } from '../../../encap/wire/addresses.ts';
import * as arp from '../../../encap/wire/arp.ts';
import * as ethernet from '../../../encap/wire/ethernet.ts';
import * as icmp from '../../../encap/wire/icmp.ts';
import * as icmpv6 from '../../../encap/wire/icmpv6.ts';
import * as tcp from '../../../encap/wire/tcp.ts';
import * as udp from '../../../encap/wire/udp.ts';
import * as vlan from '../../../encap/wire/vlan.ts';

/** A layer of a packet as the page shows it. */
export interface LayerView {
  readonly name: string;
  /** One line about it. */
  readonly summary: string;
  readonly fields: readonly (readonly [label: string, value: string])[];
}

const NAMES: Readonly<Record<HeaderKind, string>> = {
  ethernet: 'Ethernet',
  arp: 'ARP',
  ipv4: 'IPv4',
  ipv6: 'IPv6',
  extensions: 'Extension headers',
  icmp: 'ICMP',
  icmpv6: 'ICMPv6',
  tcp: 'TCP',
  udp: 'UDP',
  vxlan: 'VXLAN',
};

export function layerView(layer: Layer): LayerView {
  const size = bytesText(layer.length);
  const expected = layer.kind === 'data' ? layer.expected : layer.kind;
  if (expected === undefined) return { name: 'Data', summary: size, fields: [] };
  if (layer.kind === 'data' || layer.isCut)
    return { name: NAMES[expected], summary: `${size}, cut short or broken`, fields: [] };
  return { name: NAMES[layer.kind], summary: summaryOf(layer), fields: fieldsOf(layer) };
}

type HeaderLayer = Exclude<Layer, { kind: 'data' }>;

const hex = (value: number, digits = 4) => `0x${value.toString(16).padStart(digits, '0')}`;
const bytesText = (count: number) => `${count} byte${count === 1 ? '' : 's'}`;

function summaryOf(layer: HeaderLayer): string {
  switch (layer.kind) {
    case 'ethernet':
      return `${macText(layer.header.source)} → ${macText(layer.header.destination)}`;
    case 'arp':
      return arp.format(layer.header);
    case 'ipv4': {
      const { source, destination, ttl, totalLength } = layer.header;
      return `${addressText(source)} → ${addressText(destination)}, ttl ${ttl}, ${totalLength} bytes`;
    }
    case 'ipv6': {
      const { source, destination, hopLimit, payloadLength } = layer.header;
      return `${addressText(source)} → ${addressText(destination)}, hop limit ${hopLimit}, ${payloadLength} bytes`;
    }
    case 'extensions':
      return bytesText(layer.length);
    case 'icmp':
      return icmp.format(layer.header);
    case 'icmpv6':
      return icmpv6.format(layer.header);
    case 'tcp':
      return `${portsOf(layer.header)} ${tcp.format(layer.header, layer.payload)}`;
    case 'udp':
      return `${portsOf(layer.header)}, ${layer.header.totalLength - udp.BYTES} bytes`;
    case 'vxlan':
      return vxlan.format(layer.header);
  }
}

const portsOf = ({ sourcePort, destinationPort }: udp.Udp | tcp.Tcp) => `${sourcePort} → ${destinationPort}`;

function fieldsOf(layer: HeaderLayer): LayerView['fields'] {
  switch (layer.kind) {
    case 'ethernet': {
      const { header, tags, type } = layer;
      return [
        ['Destination', macText(header.destination)],
        ['Source', macText(header.source)],
        ...tags.map((tag, at) => [`VLAN tag ${at + 1}`, vlan.format(tag)] as const),
        ['Type', TYPES[type] ? `${hex(type)} (${TYPES[type]})` : hex(type)],
      ];
    }
    case 'arp': {
      const { operation, senderAddress, senderMac, targetAddress, targetMac } = layer.header;
      return [
        ['Operation', String(operation)],
        ['Sender', `${addressText(senderAddress)} at ${macText(senderMac)}`],
        ['Target', `${addressText(targetAddress)} at ${macText(targetMac)}`],
      ];
    }
    case 'ipv4': {
      const { header } = layer;
      const flags = [header.dontFragment ? 'DF' : '', header.moreFragments ? 'MF' : ''].filter(Boolean);
      return [
        ['Source', addressText(header.source)],
        ['Destination', addressText(header.destination)],
        ['Time to live', String(header.ttl)],
        ['Protocol', protocolName(header.protocol)],
        ['Total length', String(header.totalLength)],
        ['Type of service', hex(header.tos, 2)],
        ['Identification', hex(header.identification)],
        ['Flags', flags.join(', ') || 'none'],
        ['Fragment offset', String(header.fragmentOffset)],
        ['Checksum', `${hex(layer.checksum)} (${layer.isChecksumGood ? 'right' : 'wrong'})`],
        ...(header.options.length > 0 ? [['Options', `${header.options.length} bytes`] as const] : []),
      ];
    }
    case 'ipv6': {
      const { header } = layer;
      return [
        ['Source', addressText(header.source)],
        ['Destination', addressText(header.destination)],
        ['Hop limit', String(header.hopLimit)],
        ['Next header', protocolName(header.nextHeader)],
        ['Payload length', String(header.payloadLength)],
        ['Traffic class', hex(header.trafficClass, 2)],
        ['Flow label', hex(header.flowLabel, 5)],
      ];
    }
    case 'extensions':
      return [];
    case 'icmp':
    case 'icmpv6': {
      const { type, code, checksum, rest } = layer.header;
      return [
        ['Type', String(type)],
        ['Code', String(code)],
        ['Checksum', hex(checksum)],
        ['Rest of header', hex(rest, 8)],
      ];
    }
    case 'tcp': {
      const { header } = layer;
      return [
        ['Source port', String(header.sourcePort)],
        ['Destination port', String(header.destinationPort)],
        ['Flags', tcp.formatFlags(header.flags)],
        ['Sequence', String(header.sequence)],
        ['Acknowledgement', String(header.acknowledgement)],
        ['Window', String(header.window)],
        ['Checksum', hex(header.checksum)],
        ['Urgent pointer', String(header.urgentPointer)],
        ['Options', `${header.options.length} bytes`],
        ['Payload', `${layer.payload} bytes`],
      ];
    }
    case 'udp': {
      const { header } = layer;
      return [
        ['Source port', String(header.sourcePort)],
        ['Destination port', String(header.destinationPort)],
        ['Length', String(header.totalLength)],
        ['Checksum', header.checksum === 0 ? 'none' : hex(header.checksum)],
      ];
    }
    case 'vxlan': {
      const { flags, reserved, vni } = layer.header;
      return [
        ['Flags', hex(flags * 2 ** 24 + Math.floor(reserved / 256), 8)],
        ['Network identifier', String(vni)],
      ];
    }
  }
}

const TYPES: Readonly<Record<number, string>> = {
  [ethernet.TYPE_IPV4]: 'IPv4',
  [ethernet.TYPE_IPV6]: 'IPv6',
  [ethernet.TYPE_ARP]: 'ARP',
};

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
