import * as measure from '../../../encap/wire/measure.ts';
import {
  createBatch,
  DESC_LENGTH,
  DESC_OFFSET,
  DESC_PEER,
  DESC_SOCKET,
  DESC_STRIDE,
  DESC_VERDICT,
  HEADROOM,
} from '../../dataplane/descriptor/descriptor.ts';
import { STAT_COUNT } from '../../dataplane/descriptor/stats.ts';
import { FORWARD } from '../../dataplane/descriptor/verdicts.ts';
import { PEER_ADDRESS, PEER_FAMILY, PEER_PORT, PEER_STRIDE } from '../../dataplane/tables/peer-table.ts';
import { native } from '../../native/load.ts';
import { PAYLOAD_ADDRESS, PAYLOAD_OFFSET, PAYLOAD_PORT } from '../receive/payloads.ts';
import type { Asked } from './streams.ts';

/** Answers per batch; a stream asks for one per millisecond. */
export const ANSWERS_MAX = 64;
const SLOT_BYTES = HEADROOM + 64;

export function askedTable(): Asked {
  return {
    records: new Int32Array(ANSWERS_MAX),
    arrived: new Float64Array(ANSWERS_MAX),
    origins: new Float64Array(ANSWERS_MAX),
    count: 0,
  };
}

/** Sends answers to the packets that ask for one: all of a batch in one call. */
export class Answers {
  readonly #sockets: Int32Array;
  readonly #batch = createBatch(ANSWERS_MAX, ANSWERS_MAX * SLOT_BYTES);
  readonly #peers = new Int32Array(ANSWERS_MAX * PEER_STRIDE);
  readonly #stats = new Int32Array(STAT_COUNT);
  readonly #family: number;

  constructor(fd: number, family: 4 | 6) {
    // The last socket of `udpSend` is the one that lets routers fragment.
    this.#sockets = Int32Array.of(fd, fd);
    this.#family = family;
  }

  send(view: DataView, payloads: Int32Array, asked: Asked): void {
    if (asked.count === 0) return;
    const { table, slab } = this.#batch;
    const now = native.wallClock();
    for (let i = 0; i < asked.count; i++) this.#make(i, view, payloads, asked, now);
    native.udpSend(this.#sockets, slab, table, asked.count, this.#peers, 1, this.#stats);
  }

  #make(i: number, view: DataView, payloads: Int32Array, asked: Asked, now: number): void {
    const { table, slab, view: out } = this.#batch;
    const record = asked.records[i] ?? 0;
    const from = payloads[record + PAYLOAD_OFFSET] ?? 0;
    const to = i * SLOT_BYTES + HEADROOM;
    for (let byte = 0; byte < measure.BYTES; byte++) slab[to + byte] = view.getUint8(from + byte);
    const answered = Math.round((now - (asked.origins[i] ?? 0) * 1000) * 1e6);
    measure.answer(out, to, measure.wrapped(asked.arrived[i] ?? 0), measure.wrapped(answered));
    const at = i * DESC_STRIDE;
    table[at + DESC_OFFSET] = to;
    table[at + DESC_LENGTH] = measure.ANSWER_BYTES;
    table[at + DESC_VERDICT] = FORWARD;
    table[at + DESC_PEER] = i;
    table[at + DESC_SOCKET] = 0;
    const peer = i * PEER_STRIDE;
    this.#peers[peer + PEER_FAMILY] = this.#family;
    this.#peers[peer + PEER_PORT] = payloads[record + PAYLOAD_PORT] ?? 0;
    for (let word = 0; word < 4; word++)
      this.#peers[peer + PEER_ADDRESS + word] = payloads[record + PAYLOAD_ADDRESS + word] ?? 0;
  }
}
