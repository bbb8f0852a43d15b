import t from 'tap';
import { peers, podAddress, writerFor } from '../../../bench/path/peers.ts';
import {
  createBatch,
  DESC_LENGTH,
  DESC_OFFSET,
  DESC_PEER,
  DESC_SOURCE,
  DESC_STRIDE,
  DESC_VERDICT,
} from '../../../src/dataplane/descriptor/descriptor.ts';
import { SOURCE_STRIDE, SOURCE_TRUNCATED } from '../../../src/dataplane/descriptor/source.ts';
import {
  FORWARD,
  SPOOFED_SOURCE,
  TRUNCATED,
  UNKNOWN_PEER,
} from '../../../src/dataplane/descriptor/verdicts.ts';
import { classifyIngress } from '../../../src/dataplane/fast-path/classify-ingress.ts';
import { ANY_DESTINATION } from '../../../src/dataplane/fast-path/own-range.ts';
import { beginRead, openReader } from '../../../src/dataplane/tables/tables.ts';
import { mappedBytesOf, requireAddress } from '../../../src/ip/address.ts';

const BYTES = 28;

t.test('each message of a batch is refused or accepted by itself, with all its datagrams', async t => {
  const known = peers(2, 'udp');
  const writer = writerFor(2, 'udp');
  writer.change({ set: known, removed: [] });
  const slots = known.map(({ id }) => writer.slots.of(id)!);
  const addresses = [...known.map(({ address }) => address), '203.0.113.9'];
  /** Sender and its pod, whether the kernel cut the message, and the datagrams of it. */
  const messages = [
    { from: 0, pod: 0, cut: 0, count: 2, verdict: FORWARD },
    { from: 0, pod: 0, cut: 1, count: 2, verdict: TRUNCATED },
    { from: 1, pod: 1, cut: 0, count: 1, verdict: FORWARD },
    { from: 2, pod: 1, cut: 0, count: 3, verdict: UNKNOWN_PEER },
    { from: 2, pod: 1, cut: 1, count: 1, verdict: TRUNCATED },
    { from: 1, pod: 0, cut: 0, count: 2, verdict: SPOOFED_SOURCE },
    { from: 0, pod: 0, cut: 0, count: 1, verdict: FORWARD },
  ];
  const batch = createBatch(16, 16 * 64);
  const sources = new Int32Array(messages.length * SOURCE_STRIDE);
  const expected: number[] = [];
  for (const [index, { from, pod, cut, count, verdict }] of messages.entries()) {
    const bytes = mappedBytesOf(requireAddress(addresses[from]!));
    new Uint8Array(sources.buffer).set(bytes, index * SOURCE_STRIDE * 4);
    sources[index * SOURCE_STRIDE + SOURCE_TRUNCATED] = cut;
    for (let datagram = 0; datagram < count; datagram++) {
      const offset = expected.length * 64;
      batch.slab.set([0x45, 0, 0, BYTES, 0, 0, 0x40, 0, 64, 17], offset);
      batch.view.setInt32(offset + 12, podAddress(pod));
      const at = expected.length * DESC_STRIDE;
      batch.table[at + DESC_OFFSET] = offset;
      batch.table[at + DESC_LENGTH] = BYTES;
      batch.table[at + DESC_SOURCE] = index;
      expected.push(verdict);
    }
  }
  const config = {
    ...{ ethernet: 0, vni: 0, macHi16: 0, macLo32: 0, flood: 0, gsoPackets: 0 },
    ...{ sourceCheck: 1, own: ANY_DESTINATION, mtu: 1450 },
  };
  const tables = beginRead(openReader(writer.memory, 0));
  const dropped = classifyIngress(batch, expected.length, sources, tables, config);
  const field = (name: number) => expected.map((_, i) => batch.table[i * DESC_STRIDE + name]);
  t.strictSame(field(DESC_VERDICT), expected);
  t.equal(dropped, expected.filter(verdict => verdict !== FORWARD).length);
  const senders = messages.flatMap(({ from, count }) => Array(count).fill(slots[from] ?? -1));
  t.strictSame(field(DESC_PEER), senders);
});
