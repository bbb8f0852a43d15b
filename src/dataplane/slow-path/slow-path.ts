import { finish, sum } from '../../../encap/wire/checksum.ts';
import { BYTES as ETHERNET_BYTES } from '../../../encap/wire/ethernet.ts';
import { NEEDS_CHECKSUM } from '../../../encap/wire/vnet-hdr.ts';
import { elementAt } from '../../base/at.ts';
import {
  type Batch,
  createBatch,
  DESC_CSUM_OFFSET,
  DESC_CSUM_START,
  DESC_ERROR,
  DESC_L3,
  DESC_LENGTH,
  DESC_OFFLOAD,
  DESC_OFFSET,
  DESC_PEER,
  DESC_SOCKET,
  DESC_STRIDE,
  DESC_VERDICT,
  HEADROOM,
  SOCKET_CLASS_SHIFT,
  SOCKET_MASK,
} from '../descriptor/descriptor.ts';
import { FLOOD, FORWARD, MULTICAST, NO_PEER, PUNT, TOO_BIG } from '../descriptor/verdicts.ts';
import type { DatagramPort, FrameDevice } from '../io/interfaces.ts';
import { copyMac } from '../tables/neighbour-table.ts';
import { PEER_CLASS_MASK, PEER_INNER_MTU, PEER_PATH_MTU, PEER_STRIDE } from '../tables/peer-table.ts';
import type { TableView } from '../tables/tables.ts';
import { HeadEndReplication } from './head-end-replication.ts';
import type { IcmpError } from './icmp-builder.ts';
import { IcmpLimiter } from './icmp-limiter.ts';
import { answerNeighbour } from './neighbour-responder.ts';

/** What the slow path uses of its worker. */
export interface SlowPathIo {
  readonly device: FrameDevice;
  readonly port: DatagramPort;
  readonly batch: Batch;
  /** 1 when broadcast and multicast are copied to every peer. */
  readonly flood: number;
  /** Sends an ICMP answer from a raw socket; the kernel picks the source address. */
  sendIcmp(answer: IcmpError): void;
  /** Reports that the kernel refused an outer packet of `bytes` to the peer in `slot` (EMSGSIZE). */
  reportTooBig(slot: number, bytes: number): void;
  nowMs(): number;
}

/** Offset of the checksum in a UDP header, where zero means that there is none. */
const UDP_CHECKSUM = 6;
/** Bytes of the largest reply that is written to the device. */
const REPLY_BYTES = 512;
/** Copies of one frame that leave in one send. */
const COPIES = 256;

/**
 * Egress frames that need more than a verdict. Cold by design: it allocates, and rate limits bound how often.
 */
export class SlowPath {
  readonly #icmp = new IcmpLimiter();
  readonly #replication = new HeadEndReplication();
  readonly #io: SlowPathIo;
  readonly #copies: Batch;
  readonly #slots = new Int32Array(COPIES);
  readonly #reply = createBatch(1, HEADROOM + REPLY_BYTES);

  constructor(io: SlowPathIo) {
    this.#io = io;
    this.#copies = { ...io.batch, table: new Int32Array(COPIES * DESC_STRIDE), capacity: COPIES };
  }

  /** Answers, copies or drops what `classifyEgress` did not forward. */
  handle(batch: Batch, count: number, tables: TableView): void {
    const table = batch.table;
    for (let at = 0; at < count * DESC_STRIDE; at += DESC_STRIDE) {
      if (table[at + DESC_VERDICT] === PUNT) this.#punt(batch, at, tables);
      const verdict = table[at + DESC_VERDICT];
      if (verdict === NO_PEER || verdict === TOO_BIG) this.#refuse(batch, at, tables);
      else if (verdict === FLOOD) this.#copy(batch, at, tables);
    }
  }

  /** Reports a path MTU that became smaller (EMSGSIZE) to the control thread. */
  reportSendErrors(batch: Batch, count: number, tables: TableView): void {
    const table = batch.table;
    let reported = -1;
    for (let at = 0; at < count * DESC_STRIDE; at += DESC_STRIDE) {
      const slot = elementAt(table, at + DESC_PEER);
      // Without the kernel's EMSGSIZE the frame was classified as too big: its path MTU is known.
      if (
        table[at + DESC_VERDICT] !== TOO_BIG ||
        table[at + DESC_ERROR] === 0 ||
        slot < 0 ||
        slot === reported
      )
        continue;
      this.#io.reportTooBig(slot, elementAt(tables.peers, slot * PEER_STRIDE + PEER_PATH_MTU));
      reported = slot;
    }
  }

  #punt(batch: Batch, at: number, tables: TableView): void {
    const table = batch.table;
    const offset = elementAt(table, at + DESC_OFFSET);
    const length = elementAt(table, at + DESC_LENGTH);
    const answer = answerNeighbour(batch.view, offset, length, address => copyMac(tables, address));
    if (answer && answer.length <= REPLY_BYTES) {
      this.#reply.slab.set(answer, HEADROOM);
      this.#reply.table.fill(0);
      this.#reply.table[DESC_OFFSET] = HEADROOM;
      this.#reply.table[DESC_LENGTH] = answer.length;
      this.#reply.table[DESC_L3] = ETHERNET_BYTES;
      this.#reply.table[DESC_VERDICT] = FORWARD;
      this.#io.device.writeBatch(this.#reply, 1);
    } else {
      table[at + DESC_VERDICT] = this.#io.flood === 1 ? FLOOD : MULTICAST;
    }
  }

  /** Sends an ICMP error to the sender of a frame that is not forwarded. */
  #refuse(batch: Batch, at: number, tables: TableView): void {
    const table = batch.table;
    const l3 = elementAt(table, at + DESC_L3);
    const ip = elementAt(table, at + DESC_OFFSET) + l3;
    const length = elementAt(table, at + DESC_LENGTH) - l3;
    const now = this.#io.nowMs();
    const slot = Math.max(0, elementAt(table, at + DESC_PEER));
    const room = elementAt(tables.peers, slot * PEER_STRIDE + PEER_INNER_MTU);
    const mtu = room - Math.max(0, l3 - ETHERNET_BYTES);
    const answer =
      table[at + DESC_VERDICT] === TOO_BIG
        ? this.#icmp.tooBig(batch.view, ip, length, mtu, now)
        : this.#icmp.unreachable(batch.view, ip, length, now);
    if (answer) this.#io.sendIcmp(answer);
  }

  /** Head-end replication: the same bytes to every peer. */
  #copy(batch: Batch, at: number, tables: TableView): void {
    const copies = this.#replication.plan(tables.peers, this.#slots, this.#io.nowMs());
    finishChecksum(batch, at);
    const table = this.#copies.table;
    const socket = elementAt(batch.table, at + DESC_SOCKET);
    for (let i = 0; i < copies; i++) {
      const slot = elementAt(this.#slots, i);
      const taken = elementAt(tables.peers, slot * PEER_STRIDE + PEER_CLASS_MASK) << SOCKET_CLASS_SHIFT;
      table.set(batch.table.subarray(at, at + DESC_STRIDE), i * DESC_STRIDE);
      table[i * DESC_STRIDE + DESC_PEER] = slot;
      table[i * DESC_STRIDE + DESC_SOCKET] = socket & (SOCKET_MASK | taken);
      table[i * DESC_STRIDE + DESC_VERDICT] = FORWARD;
    }
    this.#io.port.sendBatch(this.#copies, copies, tables.peers);
  }
}

/** Fills in the partial checksum of a plain frame: its copies share the bytes, and not every peer accepts a partial one. */
function finishChecksum({ table, view }: Batch, at: number): void {
  if (table[at + DESC_OFFLOAD] !== NEEDS_CHECKSUM) return;
  const frame = elementAt(table, at + DESC_OFFSET);
  const length = elementAt(table, at + DESC_LENGTH);
  const start = elementAt(table, at + DESC_CSUM_START);
  const field = elementAt(table, at + DESC_CSUM_OFFSET);
  if (start + field + 2 > length) return;
  const value = finish(sum(view, frame + start, length - start, 0));
  view.setUint16(frame + start + field, field === UDP_CHECKSUM && value === 0 ? 0xffff : value);
  table[at + DESC_OFFLOAD] = 0;
}
