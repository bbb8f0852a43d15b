import type { Mode } from '../../encap/encap.ts';
import { BYTES as ETHERNET_BYTES, TYPE_IPV4, TYPE_IPV6 } from '../../encap/wire/ethernet.ts';
import { elementAt } from '../base/at.ts';
import { native } from '../native/load.ts';
import {
  type Batch,
  createBatch,
  DESC_L3,
  DESC_LENGTH,
  DESC_OFFSET,
  DESC_STRIDE,
  DESC_VERDICT,
  HEADROOM,
} from './descriptor/descriptor.ts';
import { SK_MEMINFO_SNDBUF, SK_MEMINFO_VARS, SK_MEMINFO_WMEM_ALLOC } from './descriptor/native-arguments.ts';
import {
  createRing,
  nextRecord,
  openConsumer,
  type Ring,
  recordKind,
  recordLength,
  release,
} from './descriptor/ring.ts';
import { createStats } from './descriptor/stats.ts';
import { FORWARD } from './descriptor/verdicts.ts';
import { type Mac, packMac } from './tables/mac.ts';
import {
  PEER_FAMILY,
  PEER_HEADER_BYTES,
  PEER_INNER_MTU,
  PEER_MAC,
  PEER_STRIDE,
  PEER_UNSEGMENTED,
} from './tables/peer-table.ts';
import type { TablesWriter } from './tables/writer.ts';
import { SEGMENTS_PER_MESSAGE } from './worker-plans.ts';

/** Bytes of a worker's ring: four full trains with the same datagrams alone. Pages that no message reaches stay untouched. */
const RING_BYTES = 1 << 19;
/** UDP payload of one message, by family of the underlay. */
const MESSAGE_BYTES: Readonly<Record<number, number>> = { 4: 65535 - 20 - 8, 6: 65535 - 40 - 8 };
const SLAB_BYTES = 65536 + SEGMENTS_PER_MESSAGE * (HEADROOM + 64);

/** What fits on the way to a peer, bytes. */
export interface ProofLimits {
  /** The largest IP packet. */
  readonly packet: number;
  /** In front of a packet in its datagram. */
  readonly overhead: number;
  /** All datagrams of one message. */
  readonly message: number;
}

/** The part of the options that the port depends on. */
interface ProofPortOptions {
  readonly mode: Mode;
  /** MAC of this node's VTEP (vxlan). */
  readonly mac?: string | undefined;
}

/**
 * Sends and receives proof messages for the control thread, past the device: through the sockets of the workers and by the call
 * that they send with, and from rings that they fill.
 */
export class ProofPort {
  readonly #writer: TablesWriter;
  /** Undefined in udp mode. */
  readonly #mac: Mac | undefined;
  readonly #rings: Ring[] = [];
  readonly #memory = new Int32Array(SK_MEMINFO_VARS);
  #senders: Int32Array | undefined;
  /** Made for the first message. */
  #batch: Batch | undefined;

  constructor({ mode, mac = '' }: ProofPortOptions, writer: TablesWriter) {
    this.#writer = writer;
    this.#mac = mode === 'vxlan' ? packMac(mac, 'mac') : undefined;
  }

  /** Memory of the ring of one more worker that receives. */
  addWorker(): SharedArrayBuffer {
    const memory = createRing(RING_BYTES);
    this.#rings.push(openConsumer(memory));
    return memory;
  }

  /** @param senders by DESC_SOCKET; undefined: the sockets are closed, and nothing is sent any more */
  use(senders: readonly number[] | undefined): void {
    this.#senders = senders && Int32Array.from(senders);
  }

  /** Undefined for a peer that the workers do not know. */
  limits(id: string): ProofLimits | undefined {
    const record = this.#record(id);
    if (!record) return undefined;
    const ethernet = this.#mac ? ETHERNET_BYTES : 0;
    return {
      packet: elementAt(record, PEER_INNER_MTU),
      overhead: elementAt(record, PEER_HEADER_BYTES) + ethernet,
      message: MESSAGE_BYTES[elementAt(record, PEER_FAMILY)] ?? 0,
    };
  }

  /**
   * Sends IP packets to a peer, also where segmentation to it is switched off.
   * @param isTrain in as few messages as their sizes allow (UDP_SEGMENT); otherwise one message per packet
   * @returns false when the kernel did not take all of them, or too much waits in the socket: the call would block
   */
  send(id: string, packets: readonly Uint8Array[], isTrain: boolean): boolean {
    const record = this.#record(id);
    const senders = this.#senders;
    if (!record || !senders || !this.#hasRoom(elementAt(senders, 0))) return false;
    record[PEER_UNSEGMENTED] = 0;
    this.#batch ??= createBatch(SEGMENTS_PER_MESSAGE, SLAB_BYTES);
    const { slab, table } = this.#batch;
    this.#fill(this.#batch, packets, record);
    const segments = isTrain ? SEGMENTS_PER_MESSAGE : 1;
    return native.udpSend(senders, slab, table, packets.length, record, segments, createStats()) === 0;
  }

  /** Takes what came since the last call, at most what the rings hold. @param take gets the id of the peer and its IP packet */
  receive(take: (id: string, packet: Uint8Array) => void): void {
    for (const ring of this.#rings) {
      for (let at = nextRecord(ring); at >= 0; at = nextRecord(ring)) {
        const id = this.#writer.slots.idOf(recordKind(ring, at));
        if (id !== undefined) take(id, ring.bytes.slice(at, at + recordLength(ring, at)));
      }
      release(ring);
    }
  }

  /** A copy of the record of a peer. */
  #record(id: string): Int32Array | undefined {
    const slot = this.#writer.slots.of(id);
    if (slot === undefined) return undefined;
    const record = this.#writer.view.peers.slice(slot * PEER_STRIDE, (slot + 1) * PEER_STRIDE);
    return record[PEER_FAMILY] === 0 ? undefined : record;
  }

  #hasRoom(fd: number): boolean {
    if (native.udpMemory(fd, this.#memory) < 0) return true; // Linux before 4.12
    const waiting = elementAt(this.#memory, SK_MEMINFO_WMEM_ALLOC);
    return waiting <= elementAt(this.#memory, SK_MEMINFO_SNDBUF) / 2;
  }

  #fill({ slab, view, table }: Batch, packets: readonly Uint8Array[], record: Int32Array): void {
    const l3 = this.#mac ? ETHERNET_BYTES : 0;
    let offset = HEADROOM;
    table.fill(0);
    for (const [index, packet] of packets.entries()) {
      const at = index * DESC_STRIDE;
      table[at + DESC_OFFSET] = offset;
      table[at + DESC_LENGTH] = l3 + packet.length;
      table[at + DESC_L3] = l3;
      table[at + DESC_VERDICT] = FORWARD;
      if (this.#mac) {
        view.setUint16(offset, elementAt(record, PEER_MAC));
        view.setInt32(offset + 2, elementAt(record, PEER_MAC + 1));
        view.setUint16(offset + 6, this.#mac.hi);
        view.setInt32(offset + 8, this.#mac.lo);
        view.setUint16(offset + 12, elementAt(packet, 0) >> 4 === 4 ? TYPE_IPV4 : TYPE_IPV6);
      }
      slab.set(packet, offset + l3);
      offset += l3 + packet.length + HEADROOM;
    }
  }
}
