import { HEADER_BYTES, MAGIC_HIGH, MAGIC_LOW, PROTOCOL } from '../../../encap/offload-proof.ts';
import { MIN_BYTES as IPV4_BYTES } from '../../../encap/wire/ipv4.ts';
import { BYTES as IPV6_BYTES } from '../../../encap/wire/ipv6.ts';
import type { Batch } from '../descriptor/descriptor.ts';
import {
  DESC_L3,
  DESC_LENGTH,
  DESC_OFFSET,
  DESC_PEER,
  DESC_STRIDE,
  DESC_VERDICT,
} from '../descriptor/descriptor.ts';
import { commit, type Ring, reserve } from '../descriptor/ring.ts';
import { OFFLOAD_PROOF } from '../descriptor/verdicts.ts';

/*
 * Proof messages (encap/offload-proof.ts) are for the agent: a worker copies them into a ring, from which the control thread
 * takes them, and never writes them to the device. A full ring discards them; their verdict is the same.
 */

/**
 * 1 when an IP packet that was checked is a proof message.
 * @param bytes of the packet
 * @hot
 */
export function isProofMessage(view: DataView, ip: number, bytes: number, version: number): number {
  const header = version === 4 ? IPV4_BYTES : IPV6_BYTES;
  if (view.getUint8(version === 4 ? ip + 9 : ip + 6) !== PROTOCOL) return 0;
  return bytes >= header + HEADER_BYTES &&
    view.getInt32(ip + header) === MAGIC_HIGH &&
    view.getInt32(ip + header + 4) === MAGIC_LOW
    ? 1
    : 0;
}

/**
 * Copies the proof messages of a batch into the ring, as IP packets; the kind of the record is the slot of the peer.
 * @hot
 */
export function keepProofMessages(ring: Ring, batch: Batch, count: number): void {
  const table = batch.table;
  const slab = batch.slab;
  for (let i = 0; i < count; i++) {
    const at = i * DESC_STRIDE;
    if (table[at + DESC_VERDICT] !== OFFLOAD_PROOF) continue;
    const start = table[at + DESC_OFFSET]! + table[at + DESC_L3]!;
    const length = table[at + DESC_LENGTH]! - table[at + DESC_L3]!;
    const to = reserve(ring, table[at + DESC_PEER]!, length);
    if (to < 0) continue;
    const bytes = ring.bytes;
    for (let k = 0; k < length; k++) bytes[to + k] = slab[start + k]!;
  }
  commit(ring);
}
