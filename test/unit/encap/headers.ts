import { formatIpv4, formatIpv6, formatMac, viewOf } from '../../../encap/wire/addresses.ts';
import * as arp from '../../../encap/wire/arp.ts';
import * as ethernet from '../../../encap/wire/ethernet.ts';
import * as icmp from '../../../encap/wire/icmp.ts';
import * as icmpv6 from '../../../encap/wire/icmpv6.ts';
import * as ipv4 from '../../../encap/wire/ipv4.ts';
import * as ipv6 from '../../../encap/wire/ipv6.ts';
import * as nd from '../../../encap/wire/nd.ts';
import * as tcp from '../../../encap/wire/tcp.ts';
import * as udp from '../../../encap/wire/udp.ts';
import * as vlan from '../../../encap/wire/vlan.ts';
import * as vnet from '../../../encap/wire/vnet-hdr.ts';
import type { Random } from '../../support/random.ts';

/** One file of encap/wire as the tests walk over them. */
export interface Header {
  name: string;
  check(view: DataView, off: number, length: number): number;
  parse(view: DataView, off: number, length: number): unknown;
  /** Bytes of a seeded value and the value itself. */
  emit(random: Random, view: DataView, off: number): { value: unknown; bytes: number };
  format(value: never): string;
  /** Bytes that must follow for the header to be accepted, such as the type after a VLAN tag. */
  trailing?: number;
}

const mac = (random: Random) => formatMac(viewOf(random.bytes(6)), 0);
const v4 = (random: Random) => formatIpv4(viewOf(random.bytes(4)), 0);
/** Runs of zero groups, so that `::` appears in every place. */
function v6(random: Random): string {
  const bytes = random.bytes(16);
  for (let i = 0; i < 16; i += 2) if (random.chance(0.5)) bytes.fill(0, i, i + 2);
  return formatIpv6(viewOf(bytes), 0);
}
const u8 = (random: Random) => random.between(0, 0xff);
const u16 = (random: Random) => random.between(0, 0xffff);
const flag = (random: Random) => random.chance(0.5);

function header<T>(
  name: string,
  room: {
    check(view: DataView, off: number, length: number): number;
    parse(view: DataView, off: number, length: number): T | undefined;
    emit(view: DataView, off: number, value: T): number;
    format(value: T, payload?: never): string;
  },
  make: (random: Random) => T,
  trailing = 0,
): Header {
  const { check, parse, format } = room;
  return {
    name,
    check,
    parse,
    format: format as Header['format'],
    trailing,
    emit(random, view, off) {
      const value = make(random);
      return { value, bytes: room.emit(view, off, value) };
    },
  };
}

export const HEADERS: readonly Header[] = [
  header('ethernet', ethernet, random => ({
    destination: mac(random),
    source: mac(random),
    type: u16(random),
  })),
  header(
    'vlan',
    vlan,
    random => ({
      protocol: random.pick([0x8100, 0x88a8]),
      identifier: random.between(0, 4095),
      priority: random.between(0, 7),
      dropEligible: flag(random),
    }),
    2,
  ),
  header('arp', arp, random => ({
    operation: random.between(1, 2),
    senderMac: mac(random),
    senderAddress: v4(random),
    targetMac: mac(random),
    targetAddress: v4(random),
  })),
  header('ipv4', ipv4, random => {
    const options = random.bytes(random.between(0, 10) * 4);
    return {
      tos: u8(random),
      totalLength: 20 + options.length,
      identification: u16(random),
      dontFragment: flag(random),
      moreFragments: flag(random),
      fragmentOffset: random.between(0, 0x1fff) * 8,
      ttl: u8(random),
      protocol: u8(random),
      source: v4(random),
      destination: v4(random),
      options,
    };
  }),
  header('ipv6', ipv6, random => ({
    trafficClass: u8(random),
    flowLabel: random.between(0, 0xfffff),
    payloadLength: 0,
    nextHeader: u8(random),
    hopLimit: u8(random),
    source: v6(random),
    destination: v6(random),
  })),
  header('icmp', icmp, random => ({
    type: u8(random),
    code: u8(random),
    checksum: u16(random),
    rest: random.uint32(),
  })),
  header('icmpv6', icmpv6, random => ({
    type: u8(random),
    code: u8(random),
    checksum: u16(random),
    rest: random.uint32(),
  })),
  header('nd', nd, random => ({
    type: random.pick([nd.SOLICITATION, nd.ADVERTISEMENT] as const),
    checksum: u16(random),
    flags: random.between(0, 7) * 0x20000000,
    target: v6(random),
    mac: flag(random) ? mac(random) : undefined,
  })),
  header('udp', udp, random => ({
    sourcePort: u16(random),
    destinationPort: u16(random),
    totalLength: 8,
    checksum: u16(random),
  })),
  header('tcp', { ...tcp, format: value => tcp.format(value, 0) }, random => ({
    sourcePort: u16(random),
    destinationPort: u16(random),
    sequence: random.uint32(),
    acknowledgement: random.uint32(),
    flags: u8(random),
    window: u16(random),
    checksum: u16(random),
    urgentPointer: u16(random),
    options: random.bytes(random.between(0, 10) * 4),
  })),
  header('vnet-hdr', vnet, random => ({
    flags: random.between(0, 3),
    gsoType:
      random.pick([vnet.GSO_NONE, vnet.GSO_TCPV4, vnet.GSO_TCPV6, vnet.GSO_UDP_L4]) |
      (flag(random) ? 0x80 : 0),
    headerLength: u16(random),
    gsoSize: random.between(1, 0xffff),
    checksumStart: u16(random),
    checksumOffset: u16(random),
  })),
];
