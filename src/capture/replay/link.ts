import { viewOf } from '../../../encap/wire/addresses.ts';
import * as ethernet from '../../../encap/wire/ethernet.ts';
import { linkBytes } from '../../../encap/wire/vlan.ts';
import { type Direction, LINK_ETHERNET, LINK_RAW } from '../format/packet.ts';
import { type NotJudged, SNAP_LENGTH, TAGGED } from './reasons.ts';

/** What the link layer of a captured packet says (https://www.tcpdump.org/linktypes.html). */
export interface LinkLayer {
  /** Offset of the network header. */
  readonly l3: number;
  readonly isIp: boolean;
  /** Whether the interface received or sent the packet, where the link type has it. */
  readonly direction?: Direction | undefined;
  /** Kind of the interface: without a link layer, as a TUN device; with one; or not known. */
  readonly kind: 'bare' | 'framed' | 'unknown';
}

/** Link types whose packets begin with IP: LINKTYPE_RAW, its two other numbers, IPV4 and IPV6. */
const BARE_IP: ReadonlySet<number> = new Set([LINK_RAW, 12, 14, 228, 229]);
/** NULL and LOOP: four bytes with the address family in front of IP. */
const FAMILY_WORD: ReadonlySet<number> = new Set([0, 108]);
const FAMILY_BYTES = 4;

/** Cooked captures of `tcpdump -i any`. */
interface Cooked {
  readonly header: number;
  /** Offsets: protocol, kind of packet (of how many bytes), ARPHRD_* of the interface. */
  readonly protocol: number;
  readonly packetType: number;
  readonly hardware: number;
}
const SLL: Cooked = { header: 16, protocol: 14, packetType: 1, hardware: 2 };
const SLL2: Cooked = { header: 20, protocol: 0, packetType: 10, hardware: 8 };
const COOKED: Readonly<Record<number, Cooked>> = { 113: SLL, 276: SLL2 };
/** PACKET_OUTGOING of linux/if_packet.h. */
const OUTGOING = 4;
/** ARPHRD_NONE and ARPHRD_VOID of linux/if_arp.h: an interface without link layer. 0 is in no capture of Linux. */
const ARPHRD_NONE = 0xfffe;
const ARPHRD_VOID = 0xffff;

/** Names of link types that people have captures of and that have no frame of an overlay. */
const NAMES: Readonly<Record<number, string>> = {
  9: 'PPP',
  50: 'PPP_HDLC',
  51: 'PPP_ETHER',
  104: 'C_HDLC',
  105: 'IEEE802_11',
  107: 'FRELAY',
  117: 'PFLOG',
  119: 'IEEE802_11_PRISM',
  127: 'IEEE802_11_RADIOTAP',
  147: 'USER0',
  187: 'BLUETOOTH_HCI_H4',
  189: 'USB_LINUX',
  195: 'IEEE802_15_4_WITHFCS',
  220: 'USB_LINUX_MMAPPED',
  253: 'NETLINK',
};

/** `link type 127 (IEEE802_11_RADIOTAP)` */
export function linkName(link: number): string {
  const known: Readonly<Record<number, string>> = {
    ...NAMES,
    0: 'NULL',
    12: 'RAW',
    14: 'RAW',
    [LINK_RAW]: 'RAW',
    108: 'LOOP',
    113: 'LINUX_SLL',
    228: 'IPV4',
    229: 'IPV6',
    276: 'LINUX_SLL2',
  };
  const name = known[link];
  return `link type ${link}${name ? ` (${name})` : ''}`;
}

/** Reads the link layer. @param captured bytes of `bytes` that are in the file; the others are zeros */
export function readLink(bytes: Uint8Array, captured: number, link: number): LinkLayer | NotJudged {
  const view = viewOf(bytes);
  const isCut = captured < bytes.length;
  if (BARE_IP.has(link)) return ipAt(view, 0, captured, { kind: 'bare' });
  if (FAMILY_WORD.has(link)) return ipAt(view, FAMILY_BYTES, captured, { kind: 'bare' });
  if (link === LINK_ETHERNET) {
    const l3 = linkBytes(view, 0, captured);
    if (l3 === 0)
      return isCut
        ? { skipped: SNAP_LENGTH }
        : { skipped: 'too short for an Ethernet header, or too many VLAN tags' };
    return { l3, isIp: isIp(view.getUint16(l3 - 2)), kind: 'framed' };
  }
  const cooked = COOKED[link];
  if (!cooked) return { skipped: `${linkName(link)} is not supported` };
  if (captured < cooked.header) return { skipped: isCut ? SNAP_LENGTH : `too short for ${linkName(link)}` };
  const protocol = view.getUint16(cooked.protocol);
  if (protocol === ethernet.TYPE_VLAN || protocol === ethernet.TYPE_SERVICE_VLAN) return { skipped: TAGGED };
  const hardware = view.getUint16(cooked.hardware);
  const isBare = hardware === ARPHRD_NONE || hardware === ARPHRD_VOID;
  return {
    l3: cooked.header,
    isIp: isIp(protocol),
    direction: view.getUint8(cooked.packetType) === OUTGOING ? 'out' : 'in',
    kind: isBare ? 'bare' : hardware === 0 ? 'unknown' : 'framed',
  };
}

/** An IP packet behind `l3` bytes: its version is in its first four bits. */
function ipAt(
  view: DataView,
  l3: number,
  captured: number,
  more: Pick<LinkLayer, 'kind'>,
): LinkLayer | NotJudged {
  if (captured <= l3) return { skipped: captured < view.byteLength ? SNAP_LENGTH : 'an empty packet' };
  const version = view.getUint8(l3) >> 4;
  return { ...more, l3, isIp: version === 4 || version === 6 };
}

function isIp(type: number): boolean {
  return type === ethernet.TYPE_IPV4 || type === ethernet.TYPE_IPV6;
}
