import {
  createBatch,
  DESC_CSUM_START,
  DESC_ERROR,
  DESC_GSO_SIZE,
  DESC_L3,
  DESC_LENGTH,
  DESC_OFFLOAD,
  DESC_OFFSET,
  DESC_SEGMENTS,
  DESC_SOCKET,
  DESC_STRIDE,
  DESC_VERDICT,
  HEADROOM,
} from '../../src/dataplane/descriptor/descriptor.ts';
import { VERDICTS } from '../../src/dataplane/descriptor/verdicts.ts';
import { PEER_STRIDE, writePeer } from '../../src/dataplane/tables/peer-table.ts';
import { native } from '../../src/native/load.ts';
import { makePacket } from './packets.ts';

const LOOPBACK = new Uint8Array([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 127, 0, 0, 1]);

/** The results of a GSO packet, a plain frame and a GSO packet, on three sockets. */
export function sendRefused(): { verdict: string; errno: number; segments: number }[] {
  const senders = Int32Array.from([0, 1, 2, 3], () => native.udpOpen('', LOOPBACK, 0, 0, 1 << 20));
  const peers = new Int32Array(PEER_STRIDE);
  const record = {
    family: 4 as const,
    address: LOOPBACK,
    port: 9,
    pathMtu: 65535,
    innerMtu: 65535,
  };
  writePeer(peers, 0, { ...record, header: new Uint8Array(8), mac: undefined });
  const batch = createBatch(3, 1 << 16);
  for (let i = 0; i < 3; i++) {
    const packet = makePacket({ family: 4, protocol: 6, payload: new Uint8Array(i === 1 ? 100 : 3000) });
    const at = i * DESC_STRIDE;
    batch.slab.set(packet.bytes, HEADROOM + i * 8192);
    batch.table[at + DESC_OFFSET] = HEADROOM + i * 8192;
    batch.table[at + DESC_LENGTH] = packet.bytes.length;
    batch.table[at + DESC_OFFLOAD] = i === 1 ? 0 : 1 | (1 << 8);
    batch.table[at + DESC_GSO_SIZE] = i === 1 ? 0 : 1000;
    batch.table[at + DESC_CSUM_START] = packet.l4;
    batch.table[at + DESC_L3] = packet.l3;
    batch.table[at + DESC_SOCKET] = i;
    batch.table[at + DESC_VERDICT] = 1;
  }
  native.udpSend(senders, batch.slab, batch.table, 3, peers, 64, new Int32Array(4));
  for (const fd of senders) native.closeFd(fd);
  return [0, 1, 2].map(i => ({
    verdict: VERDICTS[batch.table[i * DESC_STRIDE + DESC_VERDICT]!]!.name,
    errno: batch.table[i * DESC_STRIDE + DESC_ERROR]!,
    segments: batch.table[i * DESC_STRIDE + DESC_SEGMENTS]!,
  }));
}
