import t from 'tap';
import { viewOf } from '../../../../encap/wire/addresses.ts';
import * as ipv4 from '../../../../encap/wire/ipv4.ts';
import { placeOf, synthesizeOuter, unknownFields } from '../../../../src/capture/decode/outer-header.ts';
import { type CaptureRecord, NO_LOSSES } from '../../../../src/capture/live/record.ts';
import { EGRESS_OUTER, INGRESS_OUTER } from '../../../../src/dataplane/tap/record-layout.ts';
import { makePacket } from '../../../golden/packets.ts';
import { CONTEXT, LINK, UDP_CONTEXT } from '../fixtures/tapped.ts';

/* The fields of the outer headers that the kernel writes, where they are known. */

const FRAME = { bytes: new Uint8Array(64).fill(7), length: 64 };

function record(extra: Partial<CaptureRecord>): CaptureRecord {
  return {
    ...{ direction: 'egress', points: EGRESS_OUTER, time: 1n, verdict: 1, segments: 1, error: 0, port: 0 },
    ...FRAME,
    offload: { flags: 0, gsoType: 0, gsoSize: 0, csumStart: 0, csumOffset: 0 },
    ...{ places: 0, flowInfo: 0, arrivedEcn: 0, tookNs: 0, decidedNs: 0, lost: NO_LOSSES },
    remote: CONTEXT.peers[1]!,
    link: LINK,
    ...extra,
  };
}

/** The outer IPv4 header of a record in vxlan mode. */
function outerOf(extra: Partial<CaptureRecord>, part?: { index: number; count: number }) {
  const { bytes } = synthesizeOuter(record(extra), FRAME, CONTEXT, part)!;
  const view = viewOf(bytes);
  return {
    macs: Buffer.from(bytes.subarray(0, 12)).toString('hex'),
    ttl: view.getUint8(22),
    tos: view.getUint8(15),
    id: ipv4.identification(view, 14),
    dontFragment: (view.getUint8(20) & 0x40) !== 0,
  };
}

t.test(
  'a sent datagram has the MACs and the TTL of its link, and DF unless the last socket sent it',
  async t => {
    const sent = { macs: '020000000102020000000101', ttl: 64, tos: 0, id: 0, dontFragment: true };
    t.strictSame(outerOf({}), sent);
    t.strictSame(outerOf({ port: 1, link: { ...LINK, hopLimit: 7 } }), { ...sent, ttl: 7 });
    t.strictSame(outerOf({ port: 2 }), { ...sent, dontFragment: false });
    t.strictSame(outerOf({ link: undefined }), { ...sent, macs: '0'.repeat(24) });
  },
);

t.test('fields that are not known are named', async t => {
  const names = (extra: Partial<CaptureRecord>, context = CONTEXT) => unknownFields(record(extra), context);
  t.strictSame(names({}), []);
  t.strictSame(names({ port: 2 }), ['identification']);
  t.strictSame(names({ link: { ...LINK, destinationMac: undefined } }), ['destination MAC']);
  t.strictSame(names({ link: undefined }), ['source MAC', 'destination MAC', 'TTL']);
  t.strictSame(names({ link: undefined }, UDP_CONTEXT), ['TTL'], 'udp mode shows no Ethernet header');
  const received = { direction: 'ingress', points: INGRESS_OUTER } as const;
  t.strictSame(names({ ...received, hopLimit: 64 }), []);
  t.strictSame(names(received), ['TTL', 'traffic class']);
});

t.test(
  'a received datagram has the TTL, the traffic class and the flow label that the kernel reported',
  async t => {
    const address = (...last: number[]) => Uint8Array.from([...Array(12).fill(0), ...last]);
    const mapped = address(192, 0, 2, 2);
    mapped.fill(0xff, 10, 12);
    const received = { direction: 'ingress', points: INGRESS_OUTER, hopLimit: 3 } as const;
    t.match(outerOf({ ...received, address: mapped, flowInfo: 0xb9 << 20 }), { ttl: 3, tos: 0xb9 });
    const six = Uint8Array.from([0x20, 0x01, 0x0d, 0xb8, ...Array(11).fill(0), 3]);
    const { bytes } = synthesizeOuter(
      record({ ...received, address: six, flowInfo: 0x0b9abcde }),
      FRAME,
      CONTEXT,
    )!;
    t.equal(viewOf(bytes).getUint32(14), 0x6b9abcde);
    t.equal(viewOf(bytes).getUint8(14 + 7), 3);
  },
);

t.test('a sent datagram has the traffic class that it was sent with', async t => {
  t.match(outerOf({ flowInfo: 0xba << 20 }), { tos: 0xba, ttl: 64 });
});

t.test('a received datagram is shown before its congestion mark went into the inner header', async t => {
  const address = Uint8Array.of(...Array(10).fill(0), 0xff, 0xff, 192, 0, 2, 2);
  for (const [family, l3] of [
    [4, 14],
    [6, 14],
    [4, 18],
  ] as const) {
    const arrived = makePacket({ family, protocol: 17, payload: new Uint8Array(30), l3, tos: 0x2a }).bytes;
    const delivered = makePacket({ family, protocol: 17, payload: new Uint8Array(30), l3, tos: 0x2b }).bytes;
    const payload = (frame: Uint8Array) => Uint8Array.of(8, 0, 0, 0, 0, 0, 1, 0, ...frame);
    const bytes = payload(delivered);
    const kept = bytes.slice();
    const shown = record({
      ...{ direction: 'ingress', points: INGRESS_OUTER, hopLimit: 64, address, flowInfo: 3 << 20 },
      ...{ bytes, length: bytes.length, arrivedEcn: 2 },
    });
    const outer = synthesizeOuter(shown, shown, CONTEXT)!;
    t.strictSame(outer.bytes.subarray(-bytes.length), payload(arrived), `IPv${family} at ${l3}`);
    t.strictSame(bytes, kept, 'the record itself has what was delivered');
    const cut = { bytes: bytes.subarray(0, 20), length: bytes.length };
    t.strictSame(
      synthesizeOuter({ ...shown, ...cut }, cut, CONTEXT)!.bytes.subarray(-20),
      cut.bytes,
      'a snap length before the field changes nothing',
    );
  }
});

t.test('the identification is the place in the message', async t => {
  const places = (first: number, inFirst: number, further: number, last: number) =>
    first | ((inFirst - 1) << 7) | ((further - 1) << 14) | (last << 21);
  const all = (packed: number, count: number) =>
    Array.from({ length: count }, (_, index) => placeOf(packed, index, count));
  t.strictSame(all(places(0, 1, 1, 0), 1), [0], 'a datagram of its own');
  t.strictSame(all(places(5, 1, 1, 5), 1), [5], 'a datagram that shares a message');
  t.strictSame(all(places(2, 3, 1, 4), 3), [2, 3, 4]);
  t.strictSame(all(places(2, 2, 3, 1), 7), [2, 3, 0, 1, 2, 0, 1], 'three messages');
  t.strictSame(all(places(0, 3, 3, 3), 7), [0, 1, 2, 0, 1, 2, 3], 'the short last one still fits');
  t.strictSame(all(places(100, 28, 128, 127), 156).slice(-2), [126, 127], 'the largest places');
  t.strictSame(all(-1, 3), [0, 0, 0], 'the kernel refused the message, each was sent alone');
});
