import { viewOf } from '../../../encap/wire/addresses.ts';
import { finish, pseudo6, sum } from '../../../encap/wire/checksum.ts';
import * as ipv4 from '../../../encap/wire/ipv4.ts';
import * as ipv6 from '../../../encap/wire/ipv6.ts';

/** An IPv4 packet with `payload` behind its header, UDP from 10.244.1.2 to 10.244.2.3 unless told otherwise. */
export function packet4(payload: Uint8Array, fields: Partial<ipv4.Ipv4> = {}): Uint8Array {
  const options = fields.options ?? new Uint8Array(0);
  const bytes = new Uint8Array(20 + options.length + payload.length);
  const at = ipv4.emit(viewOf(bytes), 0, {
    tos: 0,
    totalLength: bytes.length,
    identification: 1,
    dontFragment: true,
    moreFragments: false,
    fragmentOffset: 0,
    ttl: 63,
    protocol: ipv4.PROTOCOL_UDP,
    source: '10.244.1.2',
    destination: '10.244.2.3',
    options,
    ...fields,
  });
  bytes.set(payload, at);
  return bytes;
}

/** An IPv6 packet with `payload` behind its header, UDP from fd00:1::2 to fd00:2::3 unless told otherwise. */
export function packet6(payload: Uint8Array, fields: Partial<ipv6.Ipv6> = {}): Uint8Array {
  const bytes = new Uint8Array(40 + payload.length);
  ipv6.emit(viewOf(bytes), 0, {
    trafficClass: 0,
    flowLabel: 0,
    payloadLength: payload.length,
    nextHeader: ipv4.PROTOCOL_UDP,
    hopLimit: 63,
    source: 'fd00:1::2',
    destination: 'fd00:2::3',
    ...fields,
  });
  bytes.set(payload, 40);
  return bytes;
}

/** Fills the ICMPv6 checksum of a neighbour message in the Ethernet frame `frame`. */
export function sealNd(frame: Uint8Array): Uint8Array {
  const view = viewOf(frame);
  const length = ipv6.payloadLength(view, 14);
  view.setUint16(56, 0);
  view.setUint16(56, finish(sum(view, 54, length, pseudo6(view, 14, 58, length))));
  return frame;
}
