import * as measure from '../../../encap/wire/measure.ts';
import {
  type Batch,
  createBatch,
  DESC_ERROR,
  DESC_LENGTH,
  DESC_OFFLOAD,
  DESC_OFFSET,
  DESC_PEER,
  DESC_SOCKET,
  DESC_STRIDE,
  DESC_VERDICT,
  HEADROOM,
} from '../../dataplane/descriptor/descriptor.ts';
import { STAT_COUNT } from '../../dataplane/descriptor/stats.ts';
import { FORWARD } from '../../dataplane/descriptor/verdicts.ts';
import { peerWords, writePeer } from '../../dataplane/tables/peer-table.ts';
import { native } from '../../native/load.ts';
import { capacityOf, SEGMENTS, type Sender } from './sender.ts';

/** Bytes of an IP header without options and of a UDP header. */
export const HEADERS = { 4: 28, 6: 48 } as const;
const LINE = 64;

export interface UdpDestination {
  readonly family: 4 | 6;
  /** 16 bytes, IPv4 mapped. */
  readonly address: Uint8Array;
  readonly port: number;
}

/** errno of the last of `count` frames that was refused. */
export function lastError({ table }: Batch, count: number): number {
  for (let i = count - 1; i >= 0; i--)
    if (table[i * DESC_STRIDE + DESC_VERDICT] !== FORWARD) return table[i * DESC_STRIDE + DESC_ERROR] ?? 0;
  return 0;
}

/** Sends by UDP sockets, one per flow. */
export class UdpSender implements Sender {
  readonly capacity: number;
  readonly stats = new Int32Array(STAT_COUNT);
  errno = 0;
  readonly #sockets: Int32Array;
  readonly #peers = new Int32Array(peerWords(1));
  readonly #batch: Batch;
  readonly #slot: number;
  readonly #headers: number;
  readonly #segments: number;

  /** @param bytesMax of an IP packet @param key `measure.keyOf` of the stream */
  constructor(sockets: readonly number[], to: UdpDestination, bytesMax: number, key: number, gso: boolean) {
    const last = sockets.at(-1) ?? -1;
    // The last socket of `udpSend` is the one that lets routers fragment, and its datagrams share no message.
    this.#sockets = Int32Array.of(...sockets, last);
    this.#headers = HEADERS[to.family];
    this.#segments = gso ? SEGMENTS : 1;
    this.capacity = capacityOf(gso);
    this.#slot = Math.ceil((bytesMax - this.#headers) / LINE) * LINE + LINE;
    this.#batch = createBatch(this.capacity, HEADROOM + this.capacity * this.#slot);
    const none = { pathMtu: 0, innerMtu: 0, header: new Uint8Array(0), mac: undefined };
    writePeer(this.#peers, 0, { ...to, ...none });
    for (let i = 0; i < this.capacity; i++) measure.emit(this.#batch.view, HEADROOM + i * this.#slot, key);
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
    const off = HEADROOM + index * this.#slot;
    const at = index * DESC_STRIDE;
    table[at + DESC_OFFSET] = off;
    table[at + DESC_LENGTH] = bytes - this.#headers;
    table[at + DESC_OFFLOAD] = 0;
    table[at + DESC_VERDICT] = FORWARD;
    table[at + DESC_PEER] = 0;
    table[at + DESC_SOCKET] = flow;
    measure.stamp(view, off, flag, flow, sequence, nanoseconds);
  }

  send(count: number): number {
    const { slab, table } = this.#batch;
    const refused = native.udpSend(
      this.#sockets,
      slab,
      table,
      count,
      this.#peers,
      this.#segments,
      this.stats,
    );
    if (refused > 0) this.errno = lastError(this.#batch, count);
    return refused;
  }
}
