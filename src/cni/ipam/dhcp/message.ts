import { finishUdp, pseudo4, sum } from '../../../../encap/wire/checksum.ts';
import { emit as emitIpv4, parse as parseIpv4 } from '../../../../encap/wire/ipv4.ts';
import { emit as emitUdp, parse as parseUdp } from '../../../../encap/wire/udp.ts';
import { addressBytes } from '../../../ip/address.ts';
import { addressText } from '../../../net/address-bytes.ts';

/*
 * DHCP messages (RFC 2131 section 2) in their IPv4 and UDP headers.
 *
 *   0 op 1, htype 1, hlen 1, hops 1 | 4 xid 4 | 8 secs 2, flags 2 | 12 ciaddr 4 | 16 yiaddr 4 | 20 siaddr 4
 *   24 giaddr 4 | 28 chaddr 16 | 44 sname 64 | 108 file 128 | 236 cookie 4 | 240 options
 */

export const DISCOVER = 1;
export const OFFER = 2;
export const REQUEST = 3;
export const ACK = 5;
export const NAK = 6;
export const RELEASE = 7;

/** Options (RFC 2132) that the exchange itself uses. */
export const OPTION = {
  SUBNET_MASK: 1,
  ROUTER: 3,
  DNS: 6,
  HOST_NAME: 12,
  DOMAIN: 15,
  STATIC_ROUTES: 33,
  REQUESTED_IP: 50,
  LEASE_SECONDS: 51,
  MESSAGE_TYPE: 53,
  SERVER: 54,
  PARAMETERS: 55,
  T1_SECONDS: 58,
  T2_SECONDS: 59,
  VENDOR_CLASS: 60,
  CLIENT_ID: 61,
  USER_CLASS: 77,
  DOMAIN_SEARCH: 119,
  CLASSLESS_ROUTES: 121,
} as const;

const OPTIONS_AT = 240;
const COOKIE = 0x63825363;
const END = 255;
const BROADCAST = 0x8000;
/** Smallest message that every server takes (RFC 1542 section 2.1: BOOTP's 300 bytes). */
const LEAST_BYTES = 300;
const UDP = 17;
const CLIENT_PORT = 68;
const SERVER_PORT = 67;

export type Options = ReadonlyMap<number, Uint8Array>;

export interface DhcpMessage {
  type: number;
  xid: number;
  /** Seconds since the client began. */
  seconds: number;
  broadcast: boolean;
  /** Address that the client has; 0.0.0.0 for none. */
  clientIp: string;
  /** Address that the server gives. */
  yourIp: string;
  mac: Uint8Array;
  options: Options;
}

/** An IPv4 packet with the message, from the client. */
export function encodeMessage(message: DhcpMessage, source: string, destination: string): Uint8Array {
  const options = [...message.options].filter(([code]) => code !== OPTION.MESSAGE_TYPE);
  // A value longer than 255 bytes goes in several options of the same code (RFC 3396).
  const parts = options.flatMap(([code, value]) => {
    const pieces: [number, Uint8Array][] = [];
    for (let at = 0; at === 0 || at < value.length; at += 255)
      pieces.push([code, value.subarray(at, at + 255)]);
    return pieces;
  });
  const length = Math.max(
    LEAST_BYTES,
    OPTIONS_AT + 3 + parts.reduce((all, [, value]) => all + 2 + value.length, 0) + 1,
  );
  const packet = new Uint8Array(28 + length);
  const view = new DataView(packet.buffer);
  const at = 28;
  packet.set([1, 1, 6, 0], at);
  view.setUint32(at + 4, message.xid);
  view.setUint16(at + 8, message.seconds);
  view.setUint16(at + 10, message.broadcast ? BROADCAST : 0);
  packet.set(addressBytes(message.clientIp), at + 12);
  packet.set(addressBytes(message.yourIp), at + 16);
  packet.set(message.mac, at + 28);
  view.setUint32(at + 236, COOKIE);
  packet.set([OPTION.MESSAGE_TYPE, 1, message.type], at + OPTIONS_AT);
  let next = at + OPTIONS_AT + 3;
  for (const [code, value] of parts) {
    packet.set([code, value.length], next);
    packet.set(value, next + 2);
    next += 2 + value.length;
  }
  packet[next] = END;
  emitIpv4(view, 0, {
    tos: 0x10,
    totalLength: packet.length,
    identification: 0,
    dontFragment: false,
    moreFragments: false,
    fragmentOffset: 0,
    ttl: 64,
    protocol: UDP,
    source: addressBytes(source),
    destination: addressBytes(destination),
    options: new Uint8Array(0),
  });
  const udpLength = 8 + length;
  emitUdp(view, 20, {
    sourcePort: CLIENT_PORT,
    destinationPort: SERVER_PORT,
    totalLength: udpLength,
    checksum: 0,
  });
  view.setUint16(26, finishUdp(sum(view, 20, udpLength, pseudo4(view, 0, UDP, udpLength))));
  return packet;
}

/**
 * The message in an IPv4 packet for a DHCP client. Any host on the link can send such packets.
 * @returns undefined for anything that is not a DHCP message
 * Checksums are not verified: a sender on the same machine leaves them to a device that the packet never reaches.
 */
export function decodeMessage(packet: Uint8Array): DhcpMessage | undefined {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.length);
  const ip = parseIpv4(view, 0, packet.length);
  if (!ip || ip.protocol !== UDP || ip.moreFragments || ip.fragmentOffset !== 0) return undefined;
  const header = 20 + ip.options.length;
  const udp = parseUdp(view, header, ip.totalLength - header);
  if (!udp || udp.sourcePort !== SERVER_PORT || udp.destinationPort !== CLIENT_PORT) return undefined;
  const body = packet.subarray(header + 8, header + udp.totalLength);
  if (body.length < OPTIONS_AT || body[0] !== 2) return undefined;
  const data = new DataView(body.buffer, body.byteOffset, body.length);
  if (data.getUint32(236) !== COOKIE) return undefined;
  const options = readOptions(body.subarray(OPTIONS_AT));
  const type = options?.get(OPTION.MESSAGE_TYPE)?.[0];
  if (!options || type === undefined) return undefined;
  return {
    type,
    xid: data.getUint32(4),
    seconds: data.getUint16(8),
    broadcast: (data.getUint16(10) & BROADCAST) !== 0,
    clientIp: addressText(body.subarray(12, 16)),
    yourIp: addressText(body.subarray(16, 20)),
    mac: body.slice(28, 34),
    options,
  };
}

/** Options by code, the parts of one code joined (RFC 3396); undefined when a length leads out. */
function readOptions(bytes: Uint8Array): Map<number, Uint8Array> | undefined {
  const found = new Map<number, Uint8Array>();
  for (let at = 0; ; ) {
    const code = bytes[at];
    if (code === undefined || code === END) break;
    if (code === 0) {
      at++;
      continue;
    }
    const length = bytes[at + 1];
    if (length === undefined || at + 2 + length > bytes.length) return undefined;
    const value = bytes.slice(at + 2, at + 2 + length);
    const former = found.get(code);
    found.set(code, former ? Uint8Array.from([...former, ...value]) : value);
    at += 2 + length;
  }
  return found;
}
