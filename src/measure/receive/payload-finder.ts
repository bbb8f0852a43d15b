import * as ethernet from '../../../encap/wire/ethernet.ts';
import * as ipv4 from '../../../encap/wire/ipv4.ts';
import * as ipv6 from '../../../encap/wire/ipv6.ts';
import * as udp from '../../../encap/wire/udp.ts';
import * as vlan from '../../../encap/wire/vlan.ts';
import { elementAt } from '../../base/at.ts';
import {
  PAYLOAD_ADDRESS,
  PAYLOAD_LENGTH,
  PAYLOAD_NANOSECONDS,
  PAYLOAD_OFFSET,
  PAYLOAD_PACKET,
  PAYLOAD_PORT,
  PAYLOAD_SECONDS,
  PAYLOAD_STRIDE,
} from './payloads.ts';

const MAPPED_WORD = elementAt(new Int32Array(Uint8Array.of(0, 0, 0xff, 0xff).buffer), 0);

/** Finds the UDP payloads of frames, several in a GSO packet. Frames that are no whole UDP packets have none. */
export class PayloadFinder {
  readonly view: DataView;
  readonly payloads: Int32Array;
  readonly #addresses: DataView;
  readonly #capacity: number;
  count = 0;

  constructor(view: DataView, capacity: number) {
    this.view = view;
    this.#capacity = capacity;
    this.payloads = new Int32Array(capacity * PAYLOAD_STRIDE);
    this.#addresses = new DataView(this.payloads.buffer);
  }

  begin(): void {
    this.count = 0;
  }

  /** Of an Ethernet frame. @param segment payload bytes per UDP packet of a GSO packet, else 0 */
  ethernet(off: number, length: number, segment: number, seconds: number, nanoseconds: number): void {
    if (ethernet.check(this.view, off, length) === 0) return;
    const link = vlan.linkBytes(this.view, off, length);
    this.ip(off + link, length - link, segment, seconds, nanoseconds);
  }

  /** Of an IP packet. */
  ip(off: number, length: number, segment: number, seconds: number, nanoseconds: number): void {
    const { view } = this;
    if (length < 20) return;
    const header = view.getUint8(off) >> 4 === 4 ? this.#header4(off, length) : this.#header6(off, length);
    if (header === 0) return;
    const at = off + header;
    if (udp.check(view, at, length - header) === 0) return;
    const first = at + udp.BYTES;
    const end = at + udp.totalLength(view, at);
    const step = segment > 0 ? segment : end - first;
    for (let from = first; from < end || from === first; from += step) {
      if (this.count === this.#capacity) return;
      const bytes = Math.min(step, end - from);
      const to = this.count++ * PAYLOAD_STRIDE;
      const { payloads } = this;
      payloads[to + PAYLOAD_OFFSET] = from;
      payloads[to + PAYLOAD_LENGTH] = bytes;
      payloads[to + PAYLOAD_PACKET] = header + udp.BYTES + bytes;
      payloads[to + PAYLOAD_SECONDS] = seconds;
      payloads[to + PAYLOAD_NANOSECONDS] = nanoseconds;
      payloads[to + PAYLOAD_PORT] = udp.sourcePort(view, at);
      this.#address(to + PAYLOAD_ADDRESS, off, header);
      if (step === 0) return;
    }
  }

  /** Bytes of the IPv4 header of a whole UDP packet, else 0. */
  #header4(off: number, length: number): number {
    const { view } = this;
    const header = ipv4.check(view, off, length);
    if (header === 0 || ipv4.protocol(view, off) !== ipv4.PROTOCOL_UDP || ipv4.isFragment(view, off))
      return 0;
    return header;
  }

  /** Bytes of the IPv6 header of a UDP packet without extension headers, else 0. */
  #header6(off: number, length: number): number {
    const { view } = this;
    if (ipv6.check(view, off, length) === 0 || ipv6.nextHeader(view, off) !== ipv4.PROTOCOL_UDP) return 0;
    return ipv6.BYTES;
  }

  #address(word: number, off: number, header: number): void {
    const addresses = this.#addresses;
    if (header === ipv6.BYTES && this.view.getUint8(off) >> 4 === 6) {
      for (let byte = 0; byte < 16; byte += 4)
        addresses.setUint32(word * 4 + byte, this.view.getUint32(off + 8 + byte));
      return;
    }
    this.payloads[word] = 0;
    this.payloads[word + 1] = 0;
    this.payloads[word + 2] = MAPPED_WORD;
    addresses.setUint32(word * 4 + 12, this.view.getUint32(off + 12));
  }
}
