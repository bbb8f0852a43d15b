import { viewOf } from '../../../encap/wire/addresses.ts';
import { mappedBytesOf, requireAddress } from '../../ip/address.ts';
import { parseMac } from '../../ip/mac.ts';
import type { Prefix } from '../../ip/prefix.ts';
import type { Direction } from '../format/packet.ts';
import type { ReplayConfig } from './config.ts';
import type { LinkLayer } from './link.ts';
import type { IpPacket } from './outer.ts';
import * as reason from './reasons.ts';

/** A prefix as mapped bytes: 16 bytes, and bits that count. */
interface Range {
  readonly bytes: Uint8Array;
  readonly bits: number;
}

/**
 * Which frames of a foreign capture a forwarder of the configuration would have read from its device. A node's card, its
 * bridge and its veths carry other packets too, and a packet that passes several of them is in a capture several times.
 */
export class OwnTraffic {
  readonly #mode: ReplayConfig['mode'];
  readonly #own: readonly Range[];
  readonly #peers: readonly Range[];
  readonly #networks: readonly Range[];
  readonly #underlay: readonly Uint8Array[];
  readonly #address: Uint8Array;
  readonly #mac: Uint8Array | undefined;
  readonly #peerMacs: readonly Uint8Array[];

  constructor({ mode, address, mac, subnets, networks, peers }: ReplayConfig) {
    this.#mode = mode;
    this.#address = mappedBytesOf(requireAddress(address));
    this.#underlay = [address, ...peers.map(peer => peer.address)].map(one =>
      mappedBytesOf(requireAddress(one)),
    );
    this.#own = subnets.map(rangeOf);
    this.#peers = peers.flatMap(peer => peer.subnets.map(rangeOf));
    this.#networks = networks.map(rangeOf);
    this.#mac = parseMac(mac ?? '');
    this.#peerMacs = peers.flatMap(peer => parseMac(peer.mac ?? '') ?? []);
  }

  /** True for this node's underlay address. */
  isOurs(address: Uint8Array): boolean {
    return isEqual(this.#address, address);
  }

  /** True when one end is a node. */
  isUnderlay({ source, target }: IpPacket): boolean {
    return this.#underlay.some(node => isEqual(node, source) || isEqual(node, target));
  }

  /**
   * Why a frame did not come from the device; undefined for one that did.
   * @param captured bytes of `bytes` that are in the file
   * @param direction whether the interface received or sent it, undefined where the capture does not say
   * @param isElsewhere the capture shows that the device of udp mode is another interface
   */
  foreign(
    bytes: Uint8Array,
    captured: number,
    link: LinkLayer,
    packet: IpPacket | undefined,
    direction: Direction | undefined,
    isElsewhere: boolean,
  ): string | undefined {
    return this.#mode === 'vxlan'
      ? this.#foreignFrame(bytes, captured, link, packet, direction)
      : this.#foreignPacket(link, packet, direction, isElsewhere);
  }

  #foreignFrame(
    bytes: Uint8Array,
    captured: number,
    link: LinkLayer,
    packet: IpPacket | undefined,
    direction: Direction | undefined,
  ): string | undefined {
    if (captured < 12) return reason.SNAP_LENGTH;
    const [target, source] = [bytes.subarray(0, 6), bytes.subarray(6, 12)];
    const isOf = (mac: Uint8Array) => this.#peerMacs.some(one => isEqual(one, mac));
    const isOwn = (mac: Uint8Array) => this.#mac !== undefined && isEqual(this.#mac, mac);
    if (isOwn(target) || isOf(source)) return reason.OUTPUT;
    if (isOwn(source) || isOf(target)) return direction === 'in' ? reason.OUTPUT : undefined;
    if (link.isIp && !packet) return reason.MALFORMED;
    return packet && this.isBetweenPods(packet) ? reason.UNKNOWN_MACS : reason.OUTSIDE_THE_TUNNEL;
  }

  #foreignPacket(
    { kind, isIp }: LinkLayer,
    packet: IpPacket | undefined,
    direction: Direction | undefined,
    isElsewhere: boolean,
  ): string | undefined {
    if (!packet) return isIp ? reason.MALFORMED : reason.NOT_IP;
    const { source, target } = packet;
    const isOwn = isIn(this.#own, target);
    const isForOverlay = isIn(this.#peers, target) || isIn(this.#networks, target);
    if (kind === 'bare') {
      if (direction === 'in' || isOwn) return reason.THE_WAY_BACK;
      const isRouted = isForOverlay || isIn(this.#own, source) || isMulticast(target);
      return isRouted ? undefined : reason.OUTSIDE_THE_TUNNEL;
    }
    if (!isOwn && !isForOverlay) return reason.OUTSIDE_THE_TUNNEL;
    if (isElsewhere) return reason.OTHER_INTERFACE;
    return isOwn ? reason.THE_WAY_BACK : undefined;
  }

  /** True when both ends are in subnets of this node or its peers. */
  isBetweenPods({ source, target }: IpPacket): boolean {
    const isPod = (address: Uint8Array) => isIn(this.#own, address) || isIn(this.#peers, address);
    return isPod(source) && isPod(target);
  }
}

function rangeOf(prefix: Prefix): Range {
  return { bytes: mappedBytesOf(prefix), bits: prefix.length + (prefix.family === 4 ? 96 : 0) };
}

function isIn(ranges: readonly Range[], address: Uint8Array): boolean {
  return ranges.some(({ bytes, bits }) => {
    for (let bit = 0; bit < bits; bit += 8) {
      const mask = bits - bit >= 8 ? 0xff : 0xff & (0xff00 >> (bits - bit));
      if ((((bytes[bit / 8] ?? 0) ^ (address[bit / 8] ?? 0)) & mask) !== 0) return false;
    }
    return true;
  });
}

function isMulticast(address: Uint8Array): boolean {
  const view = viewOf(address);
  if (view.getUint8(0) === 0xff) return true;
  const isIpv4 = view.getUint32(0) === 0 && view.getUint32(4) === 0 && view.getUint32(8) === 0xffff;
  return isIpv4 && (view.getUint8(12) >> 4 === 14 || view.getUint32(12) === 0xffffffff);
}

function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.every((byte, i) => b[i] === byte);
}
