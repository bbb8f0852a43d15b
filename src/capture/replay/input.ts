import { FORMATS } from '../../../encap/formats.ts';
import { FRAME_MAX } from '../../dataplane/descriptor/descriptor.ts';
import { POINT_NAMES } from '../../dataplane/tap/record-layout.ts';
import { gsoComment } from '../decode/packet-decoder.ts';
import { type CaptureInterface, LINK_ETHERNET, type Packet } from '../format/packet.ts';
import type { ReplayConfig } from './config.ts';
import { isDecided } from './decided.ts';
import { type LinkLayer, linkName, readLink } from './link.ts';
import { type IpPacket, readIp } from './outer.ts';
import { OwnTraffic } from './own-traffic.ts';
import { partsOf } from './parts.ts';
import * as reason from './reasons.ts';

/** A packet of a capture as input of the forwarder. Bytes that were not captured are zeros and do not decide. */
export type ReplayInput =
  | {
      readonly direction: 'egress';
      readonly frame: Uint8Array;
      /** Bytes of `frame` that were captured. */
      readonly captured: number;
      /** Payload bytes of a segment, where the capture says that the frame is a GSO packet. */
      readonly gsoSize?: number | undefined;
    }
  | {
      readonly direction: 'ingress';
      /** UDP payload. */
      readonly payload: Uint8Array;
      /** Bytes of `payload` that were captured. */
      readonly captured: number;
      /** Underlay source, 16 bytes, IPv4 mapped, and UDP source port. */
      readonly source: Uint8Array;
      readonly port: number;
    };

type Judgement = ReplayInput | reason.NotJudged;

/**
 * Finds the inputs of the forwarder of a configuration among captured packets. In a capture of Ripstop the interface names
 * decide: inputs are `egress-inner` and `ingress-outer`, and `drop` if its section does not have the input interface. In
 * other captures a tunnel datagram to this node's address is ingress, and `own-traffic.ts` tells which frames are egress.
 */
export class InputReader {
  readonly #config: ReplayConfig;
  readonly #traffic: OwnTraffic;

  constructor(config: ReplayConfig) {
    this.#config = config;
    this.#traffic = new OwnTraffic(config);
  }

  /**
   * What is to be judged of a packet: one thing, or each datagram of several that were merged.
   * @param interfaces of the packet's section
   */
  read(packet: Packet, point: CaptureInterface, interfaces: readonly CaptureInterface[]): Judgement[] {
    const bytes = new Uint8Array(Math.min(packet.length, FRAME_MAX + 1));
    if (packet.length > FRAME_MAX) return [{ skipped: reason.TOO_LONG }];
    bytes.set(packet.bytes);
    const captured = packet.bytes.length;
    const own = POINT_NAMES.find(name => name === point.name);
    if (own === 'egress-outer' || own === 'ingress-inner') return [{ skipped: reason.OUTPUT }];
    const link = readLink(bytes, captured, point.link);
    if ('skipped' in link) return [link];
    const isIn = own === 'ingress-outer' || (own === 'drop' && packet.direction === 'in');
    if (own === 'drop') {
      const input = isIn ? 'ingress-outer' : 'egress-inner';
      if (interfaces.some(({ name }) => name === input)) return [{ skipped: reason.alsoAt(input) }];
    }
    if (own !== undefined && !isIn) return [this.#frame(bytes, captured, point.link, link, packet)];
    const ip = link.isIp ? readIp(bytes, captured, link.l3) : undefined;
    if (ip && 'skipped' in ip) return [ip];
    const tunnel = ip && this.#tunnel(bytes, captured, ip, isIn);
    if (tunnel) return tunnel;
    if (isIn) return [ip?.unread ?? { skipped: reason.NO_DATAGRAM }];
    return [this.#foreign(bytes, captured, point, link, ip, packet, interfaces)];
  }

  /** A frame of the device. */
  #frame(bytes: Uint8Array, captured: number, linkType: number, link: LinkLayer, packet: Packet): Judgement {
    const { mode, mtu } = this.#config;
    if (mode === 'vxlan' && linkType !== LINK_ETHERNET)
      return { skipped: `${linkName(linkType)}: ${reason.NO_ETHERNET}` };
    if (mode === 'udp' && !link.isIp) return { skipped: reason.NOT_IP };
    const from = mode === 'udp' ? link.l3 : 0;
    const frame = bytes.subarray(from);
    if (!isDecided(frame, captured - from, mode, mtu)) return { skipped: reason.SNAP_LENGTH };
    const gsoSize = gsoComment(packet.comments ?? []);
    return { direction: 'egress', frame, captured: Math.min(captured - from, frame.length), gsoSize };
  }

  /** The datagrams of a packet of the tunnel, undefined for other packets. @param isForUs it is known to be for this node */
  #tunnel(bytes: Uint8Array, captured: number, ip: IpPacket, isForUs: boolean): Judgement[] | undefined {
    const { mode, port, mtu } = this.#config;
    const { datagram } = ip;
    if (datagram?.destinationPort !== port)
      return ip.unread && this.#traffic.isUnderlay(ip) ? [ip.unread] : undefined;
    if (!isForUs && !this.#traffic.isOurs(ip.target))
      return [{ skipped: this.#traffic.isOurs(ip.source) ? reason.OUTPUT : reason.BETWEEN_OTHERS }];
    const { start, end, sourcePort } = datagram;
    const there = Math.max(0, Math.min(captured, end) - start);
    const header = FORMATS[mode].headerBytes;
    return partsOf(bytes.subarray(start, end), there, mode).map(part => {
      const payload = bytes.subarray(start + part.offset, start + part.offset + part.length);
      const seen = Math.max(0, Math.min(part.length, there - part.offset));
      const frame = payload.subarray(header);
      const isEnough = seen === part.length || (seen >= header && isDecided(frame, seen - header, mode, mtu));
      if (!isEnough) return { skipped: reason.SNAP_LENGTH };
      return { direction: 'ingress', payload, captured: seen, source: ip.source, port: sourcePort };
    });
  }

  /** A packet of a foreign capture that is not of the tunnel. */
  #foreign(
    bytes: Uint8Array,
    captured: number,
    point: CaptureInterface,
    link: LinkLayer,
    ip: IpPacket | undefined,
    packet: Packet,
    interfaces: readonly CaptureInterface[],
  ): Judgement {
    const { mode } = this.#config;
    if (mode === 'vxlan' && point.link !== LINK_ETHERNET) {
      const isPods = ip !== undefined && this.#traffic.isBetweenPods(ip);
      return {
        skipped: isPods ? `${linkName(point.link)}: ${reason.NO_ETHERNET}` : reason.OUTSIDE_THE_TUNNEL,
      };
    }
    const direction = packet.direction ?? link.direction;
    // A cooked capture has every interface, and tells those with a link layer from the device of udp mode.
    const isElsewhere =
      link.kind !== 'bare' &&
      (link.kind === 'framed' && link.direction !== undefined
        ? true
        : interfaces.some(one => one !== point && one.link !== LINK_ETHERNET));
    const why = this.#traffic.foreign(bytes, captured, link, ip, direction, isElsewhere);
    return why === undefined ? this.#frame(bytes, captured, point.link, link, packet) : { skipped: why };
  }
}
