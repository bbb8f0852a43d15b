import type { Namespace } from '../../../bench/lab/namespace.ts';
import {
  createBatch,
  DESC_LENGTH,
  DESC_OFFSET,
  DESC_PEER,
  DESC_SOCKET,
  DESC_STRIDE,
  DESC_VERDICT,
  HEADROOM,
} from '../../../src/dataplane/descriptor/descriptor.ts';
import { FORWARD } from '../../../src/dataplane/descriptor/verdicts.ts';
import { UdpPort } from '../../../src/dataplane/io/udp.ts';
import { peerWords, writePeer } from '../../../src/dataplane/tables/peer-table.ts';
import { mappedBytesOf, requireAddress } from '../../../src/ip/address.ts';
import { native } from '../../../src/native/load.ts';

/** Room for one datagram of an underlay's MTU. */
const SLOT = HEADROOM + 1536;

/**
 * Sends datagrams of one size (the last may be shorter) as one message with UDP_SEGMENT: over a veth that accepts
 * GSO packets they arrive as one message, thus in one batch.
 */
export function sendBurst(
  from: { ns: Namespace; address: string },
  to: { address: string; port: number },
  datagrams: readonly Uint8Array[],
): void {
  const batch = createBatch(datagrams.length, datagrams.length * SLOT);
  const peers = new Int32Array(peerWords(1));
  const family = to.address.includes(':') ? 6 : 4;
  const fixed = { scope: 0, pathMtu: 1500, innerMtu: 1500, header: new Uint8Array(0), mac: undefined };
  writePeer(peers, 0, {
    family,
    address: mappedBytesOf(requireAddress(to.address)),
    port: to.port,
    ...fixed,
  });
  for (const [index, bytes] of datagrams.entries()) {
    const offset = index * SLOT + HEADROOM;
    batch.slab.set(bytes, offset);
    const fields = {
      [DESC_OFFSET]: offset,
      [DESC_LENGTH]: bytes.length,
      [DESC_VERDICT]: FORWARD,
      [DESC_PEER]: 0,
      [DESC_SOCKET]: 0,
    };
    for (const [field, value] of Object.entries(fields))
      batch.table[index * DESC_STRIDE + Number(field)] = value;
  }
  const socket = native.udpOpen(
    from.ns.path,
    mappedBytesOf(requireAddress(from.address)),
    0,
    family === 6 ? 4 : 0,
    1 << 20,
  );
  const stats = new Int32Array(4);
  // The last sender is the one that lets routers fragment and never uses UDP_SEGMENT; it is not used.
  const senders = Int32Array.of(socket, socket);
  const port = new UdpPort({
    receiver: -1,
    senders,
    control: -1,
    maxSegments: 64,
    busyPollMicroseconds: 0,
    stats,
  });
  try {
    const refused = port.sendBatch(batch, datagrams.length, peers);
    if (refused !== 0) throw new Error(`${refused} of ${datagrams.length} datagrams were refused`);
    if (stats[1] !== 1) throw new Error(`the sendBurst left in ${stats[1]} messages`);
  } finally {
    native.closeFd(socket);
  }
}
