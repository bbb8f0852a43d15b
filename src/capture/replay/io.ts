import { buildOuter } from '../../../encap/outer-header.ts';
import { formatIp, viewOf } from '../../../encap/wire/addresses.ts';
import * as ethernet from '../../../encap/wire/ethernet.ts';
import * as ipv4 from '../../../encap/wire/ipv4.ts';
import * as ipv6 from '../../../encap/wire/ipv6.ts';
import * as tcp from '../../../encap/wire/tcp.ts';
import { linkBytes } from '../../../encap/wire/vlan.ts';
import { GSO_TCPV4, GSO_TCPV6, NEEDS_CHECKSUM } from '../../../encap/wire/vnet-hdr.ts';
import { elementAt } from '../../base/at.ts';
import * as batch from '../../dataplane/descriptor/descriptor.ts';
import { SOURCE_ADDRESS, SOURCE_PORT, SOURCE_STRIDE } from '../../dataplane/descriptor/source.ts';
import { FORWARD, TOO_BIG } from '../../dataplane/descriptor/verdicts.ts';
import { readPeer } from '../../dataplane/tables/peer-table.ts';
import { addressBytes } from '../../ip/address.ts';
import { segmentGso } from '../decode/segments.ts';
import type { ReplayConfig } from './config.ts';
import type { ReplayInput } from './input.ts';

/** One output of the forwarder. */
export interface ReplayOutput {
  /** `datagram` to a peer, `frame` to the device, `icmp` to the sender of a frame. */
  readonly kind: 'datagram' | 'frame' | 'icmp';
  /** As in a capture: Ethernet in vxlan mode, IP in udp mode; of `icmp` only the message. */
  readonly bytes: Uint8Array;
}

/** First source port. A live data plane chooses its ports at random from here on. */
const FIRST_PORT = 49152;
/** Maximum bytes of a frame in one datagram, over either family and with the longest encapsulation header. */
const FRAME_ROOM = 65535 - 40 - 8 - 8;
const NO_MAC = new Uint8Array(6);

/**
 * Device and UDP port of a replayed forwarder in memory: a queue of inputs and a list of outputs. Implements FrameDevice
 * and DatagramPort of `dataplane/io/interfaces.ts`.
 */
export class ReplayIo {
  readonly sources: Int32Array;
  readonly outputs: ReplayOutput[] = [];
  readonly #config: ReplayConfig;
  readonly #queue: ReplayInput[] = [];

  constructor(config: ReplayConfig, capacity: number) {
    this.#config = config;
    this.sources = new Int32Array(new SharedArrayBuffer(capacity * SOURCE_STRIDE * 4));
  }

  /** Queues an input for the next batch of its direction. */
  load(input: ReplayInput): void {
    this.#queue.push(input);
  }

  readBatch(into: batch.Batch, _timeoutMs: number): number {
    return this.#fill(into, (input, descriptor) => {
      if (input.direction === 'egress') describeOffload(into, descriptor, this.#config);
    });
  }

  receiveBatch(into: batch.Batch, _timeoutMs: number): number {
    this.sources.fill(0);
    return this.#fill(into, (input, descriptor, index) => {
      if (input.direction !== 'ingress') return;
      const at = index * SOURCE_STRIDE;
      into.table[descriptor + batch.DESC_SOURCE] = index;
      new Uint8Array(this.sources.buffer, (at + SOURCE_ADDRESS) * 4, 16).set(input.source);
      this.sources[at + SOURCE_PORT] = input.port;
    });
  }

  writeBatch(from: batch.Batch, count: number): number {
    this.#eachForward(from, count, frame => this.outputs.push({ kind: 'frame', bytes: frame.slice() }));
    return 0;
  }

  sendBatch(from: batch.Batch, count: number, peers: Int32Array): number {
    const refused = this.#refuseTooBig(from, count);
    this.#eachForward(from, count, (frame, at) => {
      const field = (index: number) => elementAt(from.table, at + index);
      const peer = readPeer(peers, field(batch.DESC_PEER));
      if (!peer) return;
      const offload = {
        flags: field(batch.DESC_OFFLOAD) & 0xff,
        gsoType: (field(batch.DESC_OFFLOAD) >>> 8) & 0xff,
        gsoSize: field(batch.DESC_GSO_SIZE),
        csumStart: field(batch.DESC_CSUM_START),
        csumOffset: field(batch.DESC_CSUM_OFFSET),
      };
      const isEthernet = this.#config.mode === 'vxlan';
      const outer = {
        source: addressBytes(this.#config.address),
        destination: addressBytes(formatIp(viewOf(peer.address), 0)),
        sourcePort: isEthernet ? FIRST_PORT + field(batch.DESC_SOCKET) : this.#config.port,
        destinationPort: peer.port,
        header: peer.header,
        ...(isEthernet ? { link: { source: NO_MAC, destination: NO_MAC } } : {}),
      };
      for (const { bytes } of segmentGso(
        { bytes: frame, length: frame.length },
        offload,
        isEthernet ? 'ethernet' : 'ip',
      ))
        this.outputs.push({ kind: 'datagram', bytes: buildOuter(outer, bytes) });
    });
    return refused;
  }

  /** Keeps an ICMP message, which a live data plane sends on a raw socket. */
  readonly sendIcmp = (answer: { readonly message: Uint8Array }): void => {
    this.outputs.push({ kind: 'icmp', bytes: answer.message.slice() });
  };

  #fill(into: batch.Batch, finish: (input: ReplayInput, descriptor: number, index: number) => void): number {
    let offset = batch.HEADROOM;
    let count = 0;
    for (let input = this.#queue[0]; input && count < into.capacity; input = this.#queue[0]) {
      const bytes = input.direction === 'egress' ? input.frame : input.payload;
      if (offset + bytes.length > into.slab.length) break;
      this.#queue.shift();
      const at = count * batch.DESC_STRIDE;
      into.table.fill(0, at, at + batch.DESC_STRIDE);
      into.slab.set(bytes, offset);
      into.table[at + batch.DESC_OFFSET] = offset;
      into.table[at + batch.DESC_LENGTH] = bytes.length;
      finish(input, at, count);
      offset += (bytes.length + batch.HEADROOM + 63) & ~63;
      count++;
    }
    return count;
  }

  /** Rejects frames that exceed the UDP length field, as every kernel does (EMSGSIZE). */
  #refuseTooBig(from: batch.Batch, count: number): number {
    let refused = 0;
    for (let at = 0; at < count * batch.DESC_STRIDE; at += batch.DESC_STRIDE) {
      const isForward = from.table[at + batch.DESC_VERDICT] === FORWARD;
      const isPlain = from.table[at + batch.DESC_GSO_SIZE] === 0;
      if (!isForward || !isPlain || elementAt(from.table, at + batch.DESC_LENGTH) <= FRAME_ROOM) continue;
      from.table[at + batch.DESC_VERDICT] = TOO_BIG;
      refused++;
    }
    return refused;
  }

  #eachForward(from: batch.Batch, count: number, use: (frame: Uint8Array, at: number) => void): void {
    for (let at = 0; at < count * batch.DESC_STRIDE; at += batch.DESC_STRIDE) {
      if (from.table[at + batch.DESC_VERDICT] !== FORWARD) continue;
      const offset = elementAt(from.table, at + batch.DESC_OFFSET);
      use(from.slab.subarray(offset, offset + elementAt(from.table, at + batch.DESC_LENGTH)), at);
    }
  }
}

/** A TCP packet larger than the MTU was a GSO packet: it gets the offload fields that the device would give it. */
function describeOffload(into: batch.Batch, at: number, config: ReplayConfig): void {
  const { table, view } = into;
  const offset = elementAt(table, at + batch.DESC_OFFSET);
  const length = elementAt(table, at + batch.DESC_LENGTH);
  const l3 = config.mode === 'vxlan' ? linkBytes(view, offset, length) : 0;
  if (config.mode === 'vxlan' && (l3 === 0 || !isIp(view.getUint16(offset + l3 - 2)))) return;
  const ip = offset + l3;
  const four = ipv4.check(view, ip, length - l3) !== 0;
  if (!four && ipv6.check(view, ip, length - l3) === 0) return;
  const bytes = four ? ipv4.totalLength(view, ip) : ipv6.BYTES + ipv6.payloadLength(view, ip);
  const protocol = four ? ipv4.protocol(view, ip) : ipv6.nextHeader(view, ip);
  const l4 = four ? ipv4.headerBytes(view, ip) : ipv6.BYTES;
  if (bytes <= config.mtu || protocol !== ipv4.PROTOCOL_TCP || (four && ipv4.isFragment(view, ip))) return;
  const headers = l4 + tcp.check(view, ip + l4, bytes - l4);
  if (headers === l4 || headers >= config.mtu) return;
  table[at + batch.DESC_OFFLOAD] = NEEDS_CHECKSUM | ((four ? GSO_TCPV4 : GSO_TCPV6) << 8);
  table[at + batch.DESC_GSO_SIZE] = config.mtu - headers;
  table[at + batch.DESC_CSUM_START] = l3 + l4;
  table[at + batch.DESC_CSUM_OFFSET] = 16;
}

function isIp(type: number): boolean {
  return type === ethernet.TYPE_IPV4 || type === ethernet.TYPE_IPV6;
}
