import type { Outer } from '../../encap/outer-header.ts';
import { copyBytes, viewOf } from '../../encap/wire/addresses.ts';
import * as ethernet from '../../encap/wire/ethernet.ts';
import * as ipv4 from '../../encap/wire/ipv4.ts';
import * as ipv6 from '../../encap/wire/ipv6.ts';
import * as udp from '../../encap/wire/udp.ts';

/** A captured datagram taken apart: what `buildOuter` needs to build it again, and the UDP payload. */
export interface Dissected {
  outer: Omit<Outer, 'header'>;
  payload: Uint8Array;
  /** Where the outer IP and UDP headers begin. */
  ip: number;
  at: number;
}

/** Takes a vector apart; throws when one of its headers is refused. */
export function dissect(bytes: Uint8Array): Dissected {
  const view = viewOf(bytes);
  const ip = ethernet.BYTES;
  const link = { source: copyBytes(view, 6, 6), destination: copyBytes(view, 0, 6) };
  const isFour = ethernet.type(view, 0) === ethernet.TYPE_IPV4;
  const four = isFour ? ipv4.parse(view, ip, bytes.length - ip) : undefined;
  const six = isFour ? undefined : ipv6.parse(view, ip, bytes.length - ip);
  const at = ip + (isFour ? ipv4.MIN_BYTES : ipv6.BYTES);
  const datagram = udp.parse(view, at, bytes.length - at);
  if ((!four && !six) || !datagram) throw new Error('a header of the vector is refused');
  const ports = { sourcePort: datagram.sourcePort, destinationPort: datagram.destinationPort };
  const checksum = datagram.checksum !== 0;
  const addresses = { source: (four ?? six)!.source, destination: (four ?? six)!.destination };
  const common = { link, ...addresses, ...ports, checksum };
  const outer = four
    ? {
        ...common,
        ttl: four.ttl,
        tos: four.tos,
        identification: four.identification,
        dontFragment: four.dontFragment,
      }
    : { ...common, ttl: six!.hopLimit, tos: six!.trafficClass, flowLabel: six!.flowLabel };
  return { outer, payload: bytes.subarray(at + udp.BYTES), ip, at };
}

/** The Ethernet frame inside a VXLAN vector. */
export function innerOf(bytes: Uint8Array): Uint8Array {
  return dissect(bytes).payload.slice(8);
}
