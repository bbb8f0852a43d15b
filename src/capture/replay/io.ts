import { formatIp, viewOf } from '../../../encap/wire/addresses.ts';
import { elementAt } from '../../base/at.ts';
import * as batch from '../../dataplane/descriptor/descriptor.ts';
import { SOURCE_ADDRESS, SOURCE_PORT, SOURCE_STRIDE } from '../../dataplane/descriptor/source.ts';
import { FORWARD, TOO_BIG } from '../../dataplane/descriptor/verdicts.ts';
import { readPeer } from '../../dataplane/tables/peer-table.ts';
import { addressBytes } from '../../ip/address.ts';
import { headerFor, wrapOuter } from '../decode/outer-header.ts';
import { type Slice, segmentGso } from '../decode/segments.ts';
import type { ReplayConfig } from './config.ts';
import type { ReplayInput } from './input.ts';
import { offloadOf } from './offload.ts';

/** One output of the forwarder. */
export interface ReplayOutput {
  /** `datagram` to a peer, `frame` to the device, `icmp` to the sender of a frame. */
  readonly kind: 'datagram' | 'frame' | 'icmp';
  /** As in a capture: Ethernet in vxlan mode, IP in udp mode; of `icmp` only the message. */
  readonly bytes: Uint8Array;
  /** Its length: a snap length may have cut `bytes`. */
  readonly length: number;
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
  /** Bytes that the snap length cut off the input of this batch. */
  #missing = 0;

  constructor(config: ReplayConfig, capacity: number) {
    this.#config = config;
    this.sources = new Int32Array(new SharedArrayBuffer(capacity * SOURCE_STRIDE * 4));
  }

  /** Queues an input for the next batch of its direction. */
  load(input: ReplayInput): void {
    this.#queue.push(input);
  }

  readBatch(into: batch.Batch): number {
    return this.#fill(into, (input, descriptor) => {
      if (input.direction !== 'egress') return;
      const offload = offloadOf(input.frame, this.#config, input.gsoSize);
      if (!offload) return;
      into.table[descriptor + batch.DESC_OFFLOAD] = offload.flags | (offload.gsoType << 8);
      into.table[descriptor + batch.DESC_GSO_SIZE] = offload.gsoSize;
      into.table[descriptor + batch.DESC_CSUM_START] = offload.csumStart;
      into.table[descriptor + batch.DESC_CSUM_OFFSET] = offload.csumOffset;
    });
  }

  receiveBatch(into: batch.Batch): number {
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
    this.#eachForward(from, count, frame =>
      this.outputs.push({ kind: 'frame', bytes: frame.bytes.slice(), length: frame.length }),
    );
    return 0;
  }

  sendBatch(from: batch.Batch, count: number, peers: Int32Array): number {
    const refused = this.#refuseTooBig(from, count);
    this.#eachForward(from, count, (frame, at) => {
      const field = (index: number) => elementAt(from.table, at + index);
      const peer = readPeer(peers, field(batch.DESC_PEER));
      if (!peer) return;
      const isEthernet = this.#config.mode === 'vxlan';
      const offload = {
        flags: field(batch.DESC_OFFLOAD) & 0xff,
        gsoType: (field(batch.DESC_OFFLOAD) >>> 8) & 0xff,
        gsoSize: field(batch.DESC_GSO_SIZE),
        csumStart: field(batch.DESC_CSUM_START),
        csumOffset: field(batch.DESC_CSUM_OFFSET),
      };
      const { header, isRemote } = headerFor(peer.header, offload, peer.remoteChecksum === true);
      const outer = {
        source: addressBytes(this.#config.address),
        destination: addressBytes(formatIp(viewOf(peer.address), 0)),
        sourcePort: isEthernet
          ? FIRST_PORT + (field(batch.DESC_SOCKET) & batch.SOCKET_MASK)
          : this.#config.port,
        destinationPort: peer.port,
        tos: field(batch.DESC_SOCKET) >>> batch.SOCKET_CLASS_SHIFT,
        header,
        ...(isEthernet ? { link: { source: NO_MAC, destination: NO_MAC } } : {}),
      };
      for (const segment of segmentGso(frame, offload, isEthernet ? 'ethernet' : 'ip', isRemote)) {
        const datagram = wrapOuter(outer, segment);
        if (datagram) this.outputs.push({ kind: 'datagram', ...datagram });
      }
    });
    return refused;
  }

  /** Keeps an ICMP message, which a live data plane sends on a raw socket. */
  readonly sendIcmp = (answer: { readonly message: Uint8Array }): void => {
    const bytes = answer.message.slice();
    this.outputs.push({ kind: 'icmp', bytes, length: bytes.length });
  };

  #fill(into: batch.Batch, finish: (input: ReplayInput, descriptor: number, index: number) => void): number {
    let offset = batch.HEADROOM;
    let count = 0;
    for (let input = this.#queue[0]; input && count < into.capacity; input = this.#queue[0]) {
      const bytes = input.direction === 'egress' ? input.frame : input.payload;
      if (offset + bytes.length > into.slab.length) break;
      this.#queue.shift();
      this.#missing = bytes.length - input.captured;
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

  #eachForward(from: batch.Batch, count: number, use: (frame: Slice, at: number) => void): void {
    for (let at = 0; at < count * batch.DESC_STRIDE; at += batch.DESC_STRIDE) {
      if (from.table[at + batch.DESC_VERDICT] !== FORWARD) continue;
      const offset = elementAt(from.table, at + batch.DESC_OFFSET);
      const length = elementAt(from.table, at + batch.DESC_LENGTH);
      const captured = Math.max(0, Math.min(length, length - this.#missing));
      use({ bytes: from.slab.subarray(offset, offset + captured), length }, at);
    }
  }
}
