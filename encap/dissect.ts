import type { Mode } from './encap.ts';
import * as vxlan from './vxlan.ts';
import { viewOf } from './wire/addresses.ts';
import * as arp from './wire/arp.ts';
import * as ethernet from './wire/ethernet.ts';
import * as icmp from './wire/icmp.ts';
import * as ipv4 from './wire/ipv4.ts';
import * as ipv6 from './wire/ipv6.ts';
import * as tcp from './wire/tcp.ts';
import * as udp from './wire/udp.ts';
import * as vlan from './wire/vlan.ts';

/*
 * Splits a packet into its headers. The text line of a capture and the packet view of the web UI are made from the result.
 * It never throws, whatever the bytes are.
 */

/** Position of a layer in the packet, bytes. */
interface Place {
  readonly offset: number;
  readonly length: number;
  /** The captured bytes end inside of the header: `length` counts them, and fields behind them are zero. */
  readonly isCut?: boolean;
}

interface EthernetLayer extends Place {
  readonly kind: 'ethernet';
  readonly header: ethernet.Ethernet;
  readonly tags: readonly vlan.Vlan[];
  /** Type of the payload, behind the tags. */
  readonly type: number;
}

interface Ipv4Layer extends Place {
  readonly kind: 'ipv4';
  readonly header: ipv4.Ipv4;
  readonly checksum: number;
  readonly isChecksumGood: boolean;
}

interface ExtensionsLayer extends Place {
  readonly kind: 'extensions';
  /** Protocol of what follows. */
  readonly protocol: number;
  /** A fragment that is not the first: what follows is data. */
  readonly isLaterFragment: boolean;
}

interface TcpLayer extends Place {
  readonly kind: 'tcp';
  readonly header: tcp.Tcp;
  /** Bytes of payload, by the lengths of the headers around. */
  readonly payload: number;
}

/** Bytes that are not taken apart. */
interface DataLayer extends Place {
  readonly kind: 'data';
  /** The header that was expected here, when it is cut short or broken. */
  readonly expected: HeaderKind | undefined;
}

export type Layer =
  | EthernetLayer
  | (Place & { readonly kind: 'arp'; readonly header: arp.Arp })
  | Ipv4Layer
  | (Place & { readonly kind: 'ipv6'; readonly header: ipv6.Ipv6 })
  | ExtensionsLayer
  | (Place & { readonly kind: 'icmp' | 'icmpv6'; readonly header: icmp.Icmp })
  | TcpLayer
  | (Place & { readonly kind: 'udp'; readonly header: udp.Udp })
  | (Place & { readonly kind: 'vxlan'; readonly header: vxlan.VxlanHeader })
  | DataLayer;

/** Kinds of headers. */
export type HeaderKind = Exclude<Layer['kind'], 'data'>;

/** An overlay whose datagrams are opened. */
export interface OpenedOverlay {
  readonly mode: Mode;
  readonly port: number;
}

export interface DissectOptions {
  /** Bytes that the packet had, where fewer were captured. */
  readonly length?: number | undefined;
  readonly overlay?: OpenedOverlay | undefined;
}

/** Largest length that is accepted: GSO packets have 64 KiB and headers. */
const LENGTH_MAX = 262_144;

/**
 * The layers of a packet from the outside to the inside; each begins where the one before ends. Where a header is
 * broken, the rest is one layer of bytes. A header that was not captured whole is the last layer.
 * @param bytes the captured ones
 */
export function dissect(
  bytes: Uint8Array,
  link: 'ethernet' | 'ip',
  { length = bytes.length, overlay }: DissectOptions = {},
): Layer[] {
  let whole = bytes;
  if (bytes.length < length) {
    // Length fields are about the whole packet. What was not captured reads as zeros and is in no layer.
    whole = new Uint8Array(Math.max(bytes.length, Math.min(length, LENGTH_MAX)));
    whole.set(bytes);
  }
  const dissection = new Dissection(viewOf(whole), bytes.length);
  if (link === 'ethernet') dissection.ethernet(0, whole.length, overlay);
  else dissection.ip(0, whole.length, overlay);
  return dissection.layers;
}

class Dissection {
  readonly layers: Layer[] = [];
  readonly #view: DataView;
  readonly #captured: number;

  constructor(view: DataView, captured: number) {
    this.#view = view;
    this.#captured = captured;
  }

  /** True when the header was captured whole, so that what is inside can be read. */
  #add(layer: Exclude<Layer, DataLayer>): boolean {
    const there = this.#captured - layer.offset;
    if (layer.length <= there) {
      this.layers.push(layer);
      return true;
    }
    if (there > 0) this.layers.push({ ...layer, length: there, isCut: true });
    return false;
  }

  /** What was captured from `offset` to `end`. */
  #data(offset: number, end: number, expected?: HeaderKind): void {
    const length = Math.min(end, this.#captured) - offset;
    if (length > 0) this.layers.push({ kind: 'data', offset, length, expected });
  }

  ethernet(offset: number, size: number, overlay: OpenedOverlay | undefined): void {
    const view = this.#view;
    const header = ethernet.parse(view, offset, size);
    const length = header ? vlan.linkBytes(view, offset, size) : 0;
    if (!header || length === 0) {
      this.#data(offset, this.#captured, 'ethernet');
      return;
    }
    const tags: vlan.Vlan[] = [];
    for (let at = 12; at + 2 < length; at += vlan.BYTES) {
      const tag = vlan.parse(view, offset + at, size - at);
      if (tag) tags.push(tag);
    }
    const type = view.getUint16(offset + length - 2);
    if (!this.#add({ kind: 'ethernet', offset, length, header, tags, type })) return;
    const inside = offset + length;
    if (type === ethernet.TYPE_IPV4 || type === ethernet.TYPE_IPV6) this.ip(inside, size - length, overlay);
    else if (type === ethernet.TYPE_ARP) this.#arp(inside, size - length);
    else this.#data(inside, this.#captured);
  }

  #arp(offset: number, size: number): void {
    const header = arp.parse(this.#view, offset, size);
    if (header) this.#add({ kind: 'arp', offset, length: arp.BYTES, header });
    else this.#data(offset, this.#captured, 'arp');
  }

  ip(offset: number, size: number, overlay: OpenedOverlay | undefined): void {
    if (size < 1) return;
    if (this.#view.getUint8(offset) >> 4 === 6) this.#ipv6(offset, size, overlay);
    else this.#ipv4(offset, size, overlay);
  }

  #ipv4(offset: number, size: number, overlay: OpenedOverlay | undefined): void {
    const view = this.#view;
    const header = ipv4.parse(view, offset, size);
    if (!header) {
      this.#data(offset, this.#captured, 'ipv4');
      return;
    }
    const length = ipv4.headerBytes(view, offset);
    const checksum = ipv4.headerChecksum(view, offset);
    const isChecksumGood = ipv4.isChecksumGood(view, offset);
    if (!this.#add({ kind: 'ipv4', offset, length, header, checksum, isChecksumGood })) return;
    const end = offset + header.totalLength;
    if (header.fragmentOffset > 0) this.#data(offset + length, end);
    else this.#upper(offset + length, end, header.protocol, header.moreFragments, overlay);
  }

  #ipv6(offset: number, size: number, overlay: OpenedOverlay | undefined): void {
    const view = this.#view;
    const header = ipv6.parse(view, offset, size);
    if (!header) {
      this.#data(offset, this.#captured, 'ipv6');
      return;
    }
    if (!this.#add({ kind: 'ipv6', offset, length: ipv6.BYTES, header })) return;
    const first = offset + ipv6.BYTES;
    const end = first + header.payloadLength;
    const upper = ipv6.upperLayer(view, offset);
    if (upper < 0) {
      this.#data(first, end, 'extensions');
      return;
    }
    const protocol = ipv6.upperProtocol(upper);
    const isLaterFragment = (upper & ipv6.UPPER_LATER_FRAGMENT) !== 0;
    const at = offset + ipv6.upperOffset(upper);
    const extensions = { offset: first, length: at - first, protocol, isLaterFragment };
    if (at > first && !this.#add({ kind: 'extensions', ...extensions })) return;
    if (isLaterFragment) this.#data(at, end);
    else this.#upper(at, end, protocol, (upper & ipv6.UPPER_FRAGMENT) !== 0, overlay);
  }

  /** @param isPart a first fragment: lengths of the upper header are about more than is here */
  #upper(
    offset: number,
    end: number,
    protocol: number,
    isPart: boolean,
    overlay: OpenedOverlay | undefined,
  ): void {
    const size = Math.max(0, end - offset);
    if (protocol === ipv4.PROTOCOL_TCP) this.#tcp(offset, size);
    else if (protocol === ipv4.PROTOCOL_UDP) this.#udp(offset, size, isPart, overlay);
    else if (protocol === ipv4.PROTOCOL_ICMP) this.#icmp('icmp', offset, end);
    else if (protocol === ipv6.NEXT_ICMPV6) this.#icmp('icmpv6', offset, end);
    else this.#data(offset, end);
  }

  #icmp(kind: 'icmp' | 'icmpv6', offset: number, end: number): void {
    const header = icmp.parse(this.#view, offset, Math.max(0, end - offset));
    if (!header) this.#data(offset, end, kind);
    else if (this.#add({ kind, offset, length: icmp.BYTES, header })) this.#data(offset + icmp.BYTES, end);
  }

  #tcp(offset: number, size: number): void {
    const header = tcp.parse(this.#view, offset, size);
    if (!header) {
      this.#data(offset, offset + size, 'tcp');
      return;
    }
    const length = tcp.headerBytes(this.#view, offset);
    if (this.#add({ kind: 'tcp', offset, length, header, payload: size - length }))
      this.#data(offset + length, offset + size);
  }

  #udp(offset: number, size: number, isPart: boolean, overlay: OpenedOverlay | undefined): void {
    const view = this.#view;
    const claimed = isPart && size >= udp.BYTES ? Math.max(size, udp.totalLength(view, offset)) : size;
    const header = udp.parse(view, offset, claimed);
    if (!header) {
      this.#data(offset, offset + size, 'udp');
      return;
    }
    if (!this.#add({ kind: 'udp', offset, length: udp.BYTES, header })) return;
    const inside = offset + udp.BYTES;
    const payload = Math.min(header.totalLength, size) - udp.BYTES;
    // One tunnel is opened, not one inside of another.
    if (overlay?.port !== header.destinationPort) this.#data(inside, inside + payload);
    else if (overlay.mode === 'udp') this.ip(inside, payload, undefined);
    else this.#vxlan(inside, payload);
  }

  #vxlan(offset: number, size: number): void {
    const header = vxlan.parse(this.#view, offset, size);
    if (!header) {
      this.#data(offset, this.#captured, 'vxlan');
      return;
    }
    if (this.#add({ kind: 'vxlan', offset, length: vxlan.HEADER_BYTES, header }))
      this.ethernet(offset + vxlan.HEADER_BYTES, size - vxlan.HEADER_BYTES, undefined);
  }
}
