import * as checksum from '../../../encap/wire/checksum.ts';
import * as ethernet from '../../../encap/wire/ethernet.ts';
import * as ipv4 from '../../../encap/wire/ipv4.ts';
import * as ipv6 from '../../../encap/wire/ipv6.ts';
import * as measure from '../../../encap/wire/measure.ts';
import * as udp from '../../../encap/wire/udp.ts';
import {
  type Batch,
  createBatch,
  DESC_GSO_SIZE,
  DESC_L3,
  DESC_LENGTH,
  DESC_OFFLOAD,
  DESC_OFFSET,
  DESC_STRIDE,
  DESC_VERDICT,
  HEADROOM,
} from '../../dataplane/descriptor/descriptor.ts';
import { MERGE_UDP } from '../../dataplane/descriptor/native-arguments.ts';
import { STAT_COUNT } from '../../dataplane/descriptor/stats.ts';
import { FORWARD } from '../../dataplane/descriptor/verdicts.ts';
import { native } from '../../native/load.ts';
import { capacityOf, type Sender } from './sender.ts';
import { lastError } from './udp-sender.ts';

const LINE = 64;
const HOP_LIMIT = 64;

export interface FrameRoute {
  readonly family: 4 | 6;
  /** 4 or 16 bytes. */
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly port: number;
  /** Source ports by flow. */
  readonly sourcePorts: readonly number[];
  /** MACs of an Ethernet header, 6 bytes; undefined: there is none (TUN). */
  readonly ethernet: { readonly source: Uint8Array; readonly destination: Uint8Array } | undefined;
  readonly mtu: number;
}

/** Sends whole frames: to a TUN or TAP device, or by an interface (`frameOpen`). Their payload is zero behind the header. */
export class FrameSender implements Sender {
  readonly capacity: number;
  readonly stats = new Int32Array(STAT_COUNT);
  errno = 0;
  readonly #fd: number;
  readonly #batch: Batch;
  readonly #slot: number;
  readonly #link: number;
  readonly #route: FrameRoute;
  readonly #merge: number;
  /** Sum of the IPv4 header without its length, and of the pseudo header, which the sum of each UDP checksum begins with. */
  readonly #headerSum: number;
  readonly #pseudoSum: number;

  /** @param bytesMax of an IP packet @param key `measure.keyOf` of the stream */
  constructor(fd: number, route: FrameRoute, bytesMax: number, key: number, gso: boolean) {
    this.#fd = fd;
    this.#route = route;
    this.#merge = gso ? MERGE_UDP : 0;
    this.#link = route.ethernet ? ethernet.BYTES : 0;
    this.capacity = capacityOf(gso);
    this.#slot = Math.ceil((bytesMax + this.#link) / LINE) * LINE + LINE;
    this.#batch = createBatch(this.capacity, HEADROOM + this.capacity * this.#slot);
    const { view } = this.#batch;
    for (let i = 0; i < this.capacity; i++) this.#emit(HEADROOM + i * this.#slot, key);
    const ip = HEADROOM + this.#link;
    this.#headerSum = route.family === 4 ? checksum.sum(view, ip, 20, 0) : 0;
    this.#pseudoSum =
      route.family === 4
        ? checksum.pseudo4(view, ip, ipv4.PROTOCOL_UDP, 0)
        : checksum.pseudo6(view, ip, ipv4.PROTOCOL_UDP, 0);
  }

  /** Writes what all frames have in common, with zero for lengths and checksums. */
  #emit(frame: number, key: number): void {
    const { view } = this.#batch;
    const { family, source, destination, port } = this.#route;
    const link = this.#route.ethernet;
    const type = family === 4 ? ethernet.TYPE_IPV4 : ethernet.TYPE_IPV6;
    if (link) ethernet.emit(view, frame, { ...link, type });
    const ip = frame + this.#link;
    if (family === 4) {
      view.setUint8(ip, 0x45);
      view.setUint8(ip + 6, 0x40); // DF: the identification may be the same in all packets (RFC 6864)
      view.setUint8(ip + 8, HOP_LIMIT);
      view.setUint8(ip + 9, ipv4.PROTOCOL_UDP);
    } else {
      view.setUint8(ip, 0x60);
      view.setUint8(ip + 6, ipv4.PROTOCOL_UDP);
      view.setUint8(ip + 7, HOP_LIMIT);
    }
    const addresses = ip + (family === 4 ? 12 : 8);
    for (const [at, byte] of [...source, ...destination].entries()) view.setUint8(addresses + at, byte);
    const transport = ip + this.#ipBytes;
    view.setUint16(transport + 2, port);
    measure.emit(view, transport + udp.BYTES, key);
  }

  get #ipBytes(): number {
    return this.#route.family === 4 ? ipv4.MIN_BYTES : ipv6.BYTES;
  }

  write(
    index: number,
    flow: number,
    bytes: number,
    flag: number,
    sequence: number,
    nanoseconds: number,
  ): void {
    const { table, view } = this.#batch;
    const frame = HEADROOM + index * this.#slot;
    const at = index * DESC_STRIDE;
    table[at + DESC_OFFSET] = frame;
    table[at + DESC_LENGTH] = this.#link + bytes;
    table[at + DESC_OFFLOAD] = 0;
    table[at + DESC_GSO_SIZE] = 0;
    table[at + DESC_L3] = this.#link;
    table[at + DESC_VERDICT] = FORWARD;
    const ip = frame + this.#link;
    const transport = ip + this.#ipBytes;
    if (this.#route.family === 4) {
      view.setUint16(ip + 2, bytes);
      view.setUint16(ip + 10, checksum.finish(folded(this.#headerSum + bytes)));
    } else {
      ipv6.setPayloadLength(view, ip, bytes - ipv6.BYTES);
    }
    const length = bytes - this.#ipBytes;
    view.setUint16(transport, this.#route.sourcePorts[flow] ?? 0);
    udp.setTotalLength(view, transport, length);
    udp.setChecksum(view, transport, 0);
    measure.stamp(view, transport + udp.BYTES, flag, flow, sequence, nanoseconds);
    // The rest of the payload is zero and adds nothing.
    const sum = checksum.sum(view, transport, udp.BYTES + measure.BYTES, this.#pseudoSum + length);
    udp.setChecksum(view, transport, checksum.finishUdp(sum));
  }

  send(count: number): number {
    const { slab, table } = this.#batch;
    const { mtu } = this.#route;
    const refused = native.tunWrite(this.#fd, slab, table, count, this.#merge, mtu, mtu, this.stats);
    if (refused > 0) this.errno = lastError(this.#batch, count);
    return refused;
  }
}

function folded(sum: number): number {
  return (sum & 0xffff) + (sum >>> 16);
}
