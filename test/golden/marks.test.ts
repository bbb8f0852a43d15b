import { closeSync, openSync, readFileSync, unlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { CE, ECT_0, ECT_1, NOT_ECT } from '../../encap/ecn.ts';
import {
  createBatch,
  DESC_CSUM_OFFSET,
  DESC_CSUM_START,
  DESC_GSO_SIZE,
  DESC_LENGTH,
  DESC_OFFLOAD,
  DESC_OFFSET,
  DESC_SOCKET,
  DESC_SOURCE,
  DESC_STRIDE,
  DESC_VERDICT,
  HEADROOM,
  SOCKET_CLASS_SHIFT,
} from '../../src/dataplane/descriptor/descriptor.ts';
import { MERGE_TCP } from '../../src/dataplane/descriptor/native-arguments.ts';
import {
  FLOW_INFO_CLASS_SHIFT,
  SOURCE_FLOW_INFO,
  SOURCE_STRIDE,
} from '../../src/dataplane/descriptor/source.ts';
import { BAD_ECN, FORWARD } from '../../src/dataplane/descriptor/verdicts.ts';
import { classifyIngress } from '../../src/dataplane/fast-path/classify-ingress.ts';
import { ANY_DESTINATION } from '../../src/dataplane/fast-path/own-range.ts';
import { RX_BATCH, RX_SLOT_BYTES } from '../../src/dataplane/io/udp.ts';
import { peerEntries } from '../../src/dataplane/tables/peer-entries.ts';
import { beginRead, openReader } from '../../src/dataplane/tables/tables.ts';
import { TablesWriter } from '../../src/dataplane/tables/writer.ts';
import { mappedBytesOf, requireAddress } from '../../src/ip/address.ts';
import { requirePrefix } from '../../src/ip/prefix.ts';
import { native } from '../../src/native/load.ts';
import { sum } from '../fixtures/traffic/datagrams.ts';
import { leaveUnfinished, makePacket } from './packets.ts';

/*
 * Traffic classes of datagrams over loopback: what udpSend sets and udpReceive reads, and how runs of segments whose marks
 * differ are written. The packets are those of the udp format.
 */

const UDP_GRO = 104;
const VNET = 12;
const SEGMENT = 1000;

interface Sent {
  readonly bytes: Uint8Array;
  readonly trafficClass: number;
  readonly gsoSize?: number;
}

/** A wire over the loopback of a family, with the receiver's tables. */
function wireOver(t: Test, family: 4 | 6, maxSegments = 64) {
  const host = family === 4 ? '127.0.0.1' : '::1';
  const address = mappedBytesOf(requireAddress(host));
  const flags = family === 6 ? 4 : 0;
  const receiver = native.udpOpen('', address, 0, flags, 8 << 20);
  t.equal(native.udpProbe(receiver, UDP_GRO), 1);
  const senders = Int32Array.of(...[2, 0].map(bits => native.udpOpen('', address, 0, flags | bits, 8 << 20)));
  t.teardown(() => {
    for (const fd of [receiver, ...senders]) native.closeFd(fd);
  });
  const defaults = {
    mode: 'udp',
    vni: 0,
    port: native.udpPort(receiver),
    underlayMtu: 65535,
    mtu: 65000,
  } as const;
  const peer = { id: 'a', address: host, subnets: [requirePrefix('10.0.0.0/8'), requirePrefix('fd00::/16')] };
  const writer = new TablesWriter({ peers: 2, macs: 2, prefixes: 4, readers: 1 }, defaults);
  writer.change({ set: [peer], removed: [] });
  const tables = beginRead(openReader(writer.memory, 0));
  const { record } = peerEntries(peer, defaults);
  const back = createBatch(RX_BATCH * 128, RX_BATCH * RX_SLOT_BYTES);
  const sources = new Int32Array(RX_BATCH * SOURCE_STRIDE);
  const config = {
    ...{ ethernet: 0, vni: 0, macHi16: 0, macLo32: 0, flood: 0, gsoPackets: 0 },
    ...{ sourceCheck: 1, own: ANY_DESTINATION, mtu: 65000 },
  };
  return {
    /** @returns the statistics of the send */
    send(frames: readonly Sent[]): number[] {
      const out = createBatch(frames.length, frames.length * 66_000);
      for (const [i, { bytes, trafficClass, gsoSize = 0 }] of frames.entries()) {
        const isSix = bytes[0]! >> 4 === 6;
        const fields = {
          [DESC_OFFSET]: i * 66_000 + HEADROOM,
          [DESC_LENGTH]: bytes.length,
          [DESC_SOCKET]: trafficClass << SOCKET_CLASS_SHIFT,
          [DESC_VERDICT]: FORWARD,
          [DESC_OFFLOAD]: gsoSize > 0 ? 1 | ((isSix ? 4 : 1) << 8) : 0,
          [DESC_GSO_SIZE]: gsoSize,
          [DESC_CSUM_START]: isSix ? 40 : 20,
          [DESC_CSUM_OFFSET]: 16,
        };
        out.slab.set(bytes, i * 66_000 + HEADROOM);
        for (const [field, value] of Object.entries(fields))
          out.table[i * DESC_STRIDE + Number(field)] = value;
      }
      const stats = new Int32Array(4);
      t.equal(native.udpSend(senders, out.slab, out.table, frames.length, record, maxSegments, stats), 0);
      return [...stats];
    },
    /** What has arrived: class and length of each datagram, in order. */
    receive(): { trafficClass: number; message: number; length: number }[] {
      native.waitReadable(receiver, -1, -1, 0, 1000);
      const count = native.udpReceive(receiver, back.slab, back.table, sources, RX_BATCH, 0, 0);
      return Array.from({ length: count }, (_, i) => {
        const message = back.table[i * DESC_STRIDE + DESC_SOURCE]!;
        const info = sources[message * SOURCE_STRIDE + SOURCE_FLOW_INFO]!;
        return {
          trafficClass: info >>> FLOW_INFO_CLASS_SHIFT,
          message,
          length: back.table[i * DESC_STRIDE + DESC_LENGTH]!,
        };
      });
    },
    /** Classifies and writes what `receive` took. @returns the packets written and the verdicts */
    deliver(count: number): {
      writes: { trafficClass: number; payload: number; isValid: boolean }[];
      verdicts: number[];
    } {
      classifyIngress(back, count, sources, tables, config);
      const file = join(tmpdir(), `ripstop-marks-${process.pid}`);
      const fd = openSync(file, 'w');
      native.tunWrite(fd, back.slab, back.table, count, MERGE_TCP, 65000, 65000, new Int32Array(4));
      closeSync(fd);
      const bytes = new Uint8Array(readFileSync(file));
      unlinkSync(file);
      const writes: { trafficClass: number; payload: number; isValid: boolean }[] = [];
      for (let at = VNET; at < bytes.length; ) {
        const view = new DataView(bytes.buffer, at);
        const isFour = view.getUint8(0) >> 4 === 4;
        const length = isFour ? view.getUint16(2) : 40 + view.getUint16(4);
        writes.push({
          trafficClass: isFour ? view.getUint8(1) : (view.getUint16(0) >>> 4) & 0xff,
          payload: length - (isFour ? 40 : 60),
          isValid: !isFour || sum(bytes.subarray(at, at + 20)) === 0xffff,
        });
        at += length + VNET;
      }
      return {
        writes,
        verdicts: Array.from({ length: count }, (_, i) => back.table[i * DESC_STRIDE + DESC_VERDICT]!),
      };
    },
  };
}

/** Segments of one TCP flow, with the class of each inside and outside. */
function segmentsOf(family: 4 | 6, classes: readonly { inner: number; outer: number }[]): Sent[] {
  return classes.map(({ inner, outer }, index) => ({
    bytes: makePacket({
      ...{ family, protocol: 6, l3: 0, tos: inner, identification: index },
      ...{ sequence: 1 + index * SEGMENT, payload: new Uint8Array(SEGMENT).fill(index) },
    }).bytes,
    trafficClass: outer,
  }));
}

const times = <T>(count: number, value: T): T[] => Array(count).fill(value);

for (const outer of [4, 6] as const)
  for (const maxSegments of [64, 1])
    t.test(
      `IPv${outer}, ${maxSegments} datagrams a message: each datagram has the class of its frame`,
      async t => {
        const wire = wireOver(t, outer, maxSegments);
        const classes = [0, 0, 2, 2, 3, 0xb8, 0xb9, 1, 1, 0];
        wire.send(
          segmentsOf(
            4,
            classes.map(value => ({ inner: 0, outer: value })),
          ),
        );
        const got = wire.receive();
        t.strictSame(
          got.map(({ trafficClass }) => trafficClass),
          classes,
          'in the order of the frames',
        );
        const messages = new Set(got.map(({ message, trafficClass }) => `${message} ${trafficClass}`));
        t.equal(new Set(got.map(({ message }) => message)).size, messages.size, 'one class per message');
      },
    );

for (const outer of [4, 6] as const)
  for (const inner of [4, 6] as const)
    t.test(
      `IPv${inner} in IPv${outer}: a marked GSO packet is one message, as one without a mark`,
      async t => {
        const wire = wireOver(t, outer);
        const packet = makePacket({
          family: inner,
          protocol: 6,
          l3: 0,
          payload: new Uint8Array(40 * SEGMENT),
          tos: ECT_0,
        });
        leaveUnfinished(packet);
        const send = (trafficClass: number) =>
          wire.send([{ bytes: packet.bytes, gsoSize: SEGMENT, trafficClass }]);
        const unmarked = send(0);
        t.strictSame(unmarked, [1, 1, 39, 0], 'one call, one message, 39 datagrams that shared it');
        t.strictSame(
          wire.receive().map(({ trafficClass }) => trafficClass),
          times(40, 0),
        );
        for (const trafficClass of [ECT_0, ECT_1, CE, 0xfe]) {
          t.strictSame(send(trafficClass), unmarked, 'a mark adds no call and no message');
          const got = wire.receive();
          t.strictSame(
            got.map(each => each.trafficClass),
            times(40, trafficClass),
            'all datagrams of it are marked',
          );
          t.strictSame(
            got.map(({ length }) => length),
            times(40, SEGMENT + (inner === 4 ? 40 : 60)),
          );
        }
      },
    );

for (const outer of [4, 6] as const)
  for (const inner of [4, 6] as const)
    t.test(`IPv${inner} in IPv${outer}: segments whose marks differ are not merged`, async t => {
      const wire = wireOver(t, outer);
      const carry = (classes: readonly { inner: number; outer: number }[]) => {
        wire.send(segmentsOf(inner, classes));
        const { length } = wire.receive();
        t.equal(length, classes.length);
        const { writes, verdicts } = wire.deliver(length);
        t.ok(
          writes.every(({ isValid }) => isValid),
          'header checksums',
        );
        return {
          writes: writes.map(({ trafficClass, payload }) => [trafficClass, payload / SEGMENT]),
          verdicts,
        };
      };
      const ect = { inner: ECT_0, outer: ECT_0 };
      const marked = { inner: ECT_0, outer: CE };
      t.strictSame(carry(times(20, ect)).writes, [[ECT_0, 20]], 'equal marks: one packet');
      t.strictSame(carry(times(20, marked)).writes, [[CE, 20]], 'all marked: one packet');
      const mixed = [...times(8, ect), ...times(4, marked), ...times(8, ect)];
      t.strictSame(
        carry(mixed).writes,
        [
          [ECT_0, 8],
          [CE, 4],
          [ECT_0, 8],
        ],
        'a mark on four of twenty',
      );
      const same = [...times(5, { inner: CE, outer: ECT_0 }), ...times(5, { inner: CE, outer: CE })];
      t.strictSame(carry(same).writes, [[CE, 10]], 'what is equal inside is merged');
      const illegal = carry([...times(3, { inner: NOT_ECT, outer: NOT_ECT }), { inner: NOT_ECT, outer: CE }]);
      t.strictSame(illegal, { writes: [[NOT_ECT, 3]], verdicts: [FORWARD, FORWARD, FORWARD, BAD_ECN] });
    });
