import type { Random } from '../fixtures/random.ts';
import { fillChecksums, slowPseudo } from './segments.ts';

/** What a made packet is to be. Everything left out is chosen by the seed. */
export interface PacketShape {
  readonly family: 4 | 6;
  readonly protocol: 6 | 17;
  readonly payload: Uint8Array;
  /** Bytes before the IP header: 14 Ethernet, 18 with a tag, 0 for IP alone. */
  readonly l3?: number;
  /** Number of the flow: addresses and ports. */
  readonly flow?: number;
  readonly sequence?: number;
  readonly acknowledgement?: number;
  /** TCP flags; default ACK. */
  readonly flags?: number;
  /** TCP option bytes, a multiple of 4. */
  readonly options?: Uint8Array;
  readonly identification?: number;
  /** IPv4 flags and fragment offset; default DF. */
  readonly fragment?: number;
  /** TCP urgent pointer. */
  readonly urgent?: number;
  readonly ttl?: number;
  readonly tos?: number;
}

export interface Packet {
  readonly bytes: Uint8Array;
  readonly l3: number;
  readonly l4: number;
  readonly header: number;
}

/** A whole frame with right checksums. */
export function makePacket(shape: PacketShape): Packet {
  const { family, protocol, payload, l3 = 14, flow = 0, options = new Uint8Array(0) } = shape;
  const l4 = l3 + (family === 4 ? 20 : 40);
  const header = l4 + (protocol === 6 ? 20 + options.length : 8);
  const bytes = new Uint8Array(header + payload.length);
  const view = new DataView(bytes.buffer);
  if (l3 >= 14) {
    bytes.set([2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1]);
    if (l3 === 18) view.setUint32(12, 0x81000007);
    view.setUint16(l3 - 2, family === 4 ? 0x0800 : 0x86dd);
  }
  if (family === 4) {
    bytes[l3] = 0x45;
    bytes[l3 + 1] = shape.tos ?? 0;
    view.setUint16(l3 + 2, bytes.length - l3);
    view.setUint16(l3 + 4, shape.identification ?? 0);
    view.setUint16(l3 + 6, shape.fragment ?? 0x4000);
    bytes[l3 + 8] = shape.ttl ?? 63;
    bytes[l3 + 9] = protocol;
    view.setUint32(l3 + 12, 0x0af40102 + flow);
    view.setUint32(l3 + 16, 0x0af40203);
  } else {
    view.setUint32(l3, 0x60000000 | ((shape.tos ?? 0) << 20));
    view.setUint16(l3 + 4, bytes.length - l4);
    bytes[l3 + 6] = protocol;
    bytes[l3 + 7] = shape.ttl ?? 63;
    view.setUint32(l3 + 8, 0xfd000001);
    view.setUint32(l3 + 20, 2 + flow);
    view.setUint32(l3 + 24, 0xfd000002);
    view.setUint32(l3 + 36, 3);
  }
  view.setUint16(l4, 40000 + flow);
  view.setUint16(l4 + 2, 5201);
  if (protocol === 6) {
    view.setUint32(l4 + 4, shape.sequence ?? 1);
    view.setUint32(l4 + 8, shape.acknowledgement ?? 1);
    bytes[l4 + 12] = ((20 + options.length) / 4) << 4;
    bytes[l4 + 13] = shape.flags ?? 0x10;
    view.setUint16(l4 + 14, 512);
    view.setUint16(l4 + 18, shape.urgent ?? 0);
    bytes.set(options, l4 + 20);
  } else {
    view.setUint16(l4 + 4, bytes.length - l4);
  }
  bytes.set(payload, header);
  fillChecksums(bytes, l3, l4, protocol);
  return { bytes, l3, l4, header };
}

/** Puts the bare pseudo-header sum into the checksum field, as a stack that leaves the rest to its device does. */
export function leaveUnfinished(packet: Packet): void {
  const { bytes, l3, l4 } = packet;
  const protocol = bytes[l3]! >> 4 === 4 ? bytes[l3 + 9]! : bytes[l3 + 6]!;
  const field = l4 + (protocol === 6 ? 16 : 6);
  const sum = slowPseudo(bytes, l3, protocol, bytes.length - l4);
  new DataView(bytes.buffer, bytes.byteOffset).setUint16(field, sum);
}

export function randomPayload(random: Random, min: number, max: number): Uint8Array {
  return random.bytes(random.between(min, max));
}
