import t from 'tap';
import { type Journey, Journeys } from '../../../src/capture/correlate/correlator.ts';
import { identityOf, type Sighting, Sightings } from '../../../src/capture/correlate/observation.ts';
import { JourneyLines, journeyNote } from '../../../src/capture/correlate/rows.ts';
import { onTheWire } from '../../../src/capture/decode/segments.ts';
import type { CaptureRecord } from '../../../src/capture/live/record.ts';
import { FORWARD, TOO_BIG, UNKNOWN_PEER, VERDICTS } from '../../../src/dataplane/descriptor/verdicts.ts';
import { EGRESS_INNER, INGRESS_INNER } from '../../../src/dataplane/tap/tap.ts';
import { seeded } from '../../support/random.ts';
import { countReads } from '../../support/traffic/reads.ts';
import { ethernet, ip, joined, tcp, udp, V4, V6 } from './fixtures/frames.ts';
import { CONTEXT } from './fixtures/tapped.ts';

const NONE = { flags: 0, gsoType: 0, gsoSize: 0, csumStart: 0, csumOffset: 0 };
const DROPS = VERDICTS.map(verdict => verdict.drop);

function record(
  direction: 'egress' | 'ingress',
  bytes: Uint8Array,
  extra: Partial<CaptureRecord> = {},
): CaptureRecord {
  const points = direction === 'egress' ? EGRESS_INNER : INGRESS_INNER;
  const common = {
    length: bytes.length,
    verdict: FORWARD,
    peer: 1,
    offload: NONE,
    segments: 1,
    error: 0,
    port: 0,
  };
  return { direction, points, time: 1_000_000_000n, bytes, ...common, tookNs: 40_000, lost: 0, ...extra };
}

const inVxlan = (frame: Uint8Array) => joined([8, 0, 0, 0, 0, 0, 1, 0], frame);

t.test('a packet is the same at both nodes, and another one is another', async t => {
  const random = seeded(t, 81);
  for (const ends of [V4, V6]) {
    const payload = random.bytes(5000);
    const fields = { from: 40000, to: 80, sequence: 7, flags: 0x10 };
    const superframe = ethernet(ip(ends, 6, tcp(fields, payload, ends), 9));
    const l3 = 14;
    const l4 = l3 + (ends === V4 ? 20 : 40);
    const offload = { flags: 1, gsoType: ends === V4 ? 1 : 4, gsoSize: 1400, csumStart: l4, csumOffset: 16 };
    const wire = onTheWire({ bytes: superframe, length: superframe.length }, offload, 'ethernet');
    t.equal(wire.length, 4);
    // The sender's node captured the first bytes of the superframe, the receiver's each segment, with TTL and TOS changed.
    const cut = superframe.subarray(0, l4 + 32 + 10);
    const sent = new Sightings(CONTEXT, () => true).of(
      record('egress', cut, { length: superframe.length, offload, segments: 4 }),
    );
    const received = wire.flatMap(({ bytes }) => {
      const changed = bytes.slice();
      if (ends === V4) changed.set([3], l3 + 1);
      changed[ends === V4 ? l3 + 8 : l3 + 7]! -= 1;
      return new Sightings(CONTEXT, () => true).of(
        record('ingress', inVxlan(changed.subarray(0, 200)), { length: bytes.length + 8 }),
      );
    });
    t.strictSame(
      sent.map(sighting => sighting.identity),
      received.map(sighting => sighting.identity),
    );
    t.equal(new Set(sent.map(sighting => sighting.identity)).size, 4);
    t.match(sent[3]!.describe(), /10.244|fd00/);
    t.equal(sent[0]!.doneAt - sent[0]!.readAt, 40_000n);
  }
  const datagram = (byte: number) => ethernet(ip(V4, 17, udp(1, 2, Uint8Array.of(1, 2, byte), V4)));
  const identity = (bytes: Uint8Array) => identityOf({ bytes, length: bytes.length }, 'ethernet');
  t.equal(identity(datagram(3)), identity(datagram(3)));
  t.not(identity(datagram(3)), identity(datagram(4)), 'by the payload');
  for (let i = 0; i < 2000; i++) identity(random.bytes(random.between(0, 90)));
  const only = new Sightings(CONTEXT, flow => flow.destinationPort === 2);
  t.equal(only.of(record('egress', datagram(3))).length, 1);
  t.equal(only.of(record('egress', ethernet(ip(V4, 17, udp(1, 3, Uint8Array.of(1), V4))))).length, 0);
  t.equal(only.of(record('egress', joined(new Uint8Array(12), [8, 6], new Uint8Array(28)))).length, 0, 'ARP');
});

function sighting(identity: string, direction: 'egress' | 'ingress', more: Partial<Sighting> = {}): Sighting {
  const times = { readAt: 1_000_000_000n, doneAt: 1_000_040_000n };
  return {
    identity,
    describe: () => identity,
    direction,
    ...times,
    verdict: FORWARD,
    peer: 1,
    error: 0,
    ...more,
  };
}

t.test('journeys: there, lost here, lost there, lost between, and heard of in any order', async t => {
  const journeys = new Journeys(2, DROPS);
  const fate = (journey: Journey | undefined) => journey?.fate;
  t.equal(fate(journeys.see(0, sighting('a', 'egress'), 0)), undefined);
  t.match(journeys.see(1, sighting('a', 'ingress'), 1), {
    fate: 'arrived',
    sent: { node: 0 },
    received: { node: 1 },
  });
  t.equal(fate(journeys.see(1, sighting('b', 'ingress'), 0)), undefined, 'the end is heard of first');
  t.match(journeys.see(0, sighting('b', 'egress'), 1), { fate: 'arrived', sent: { node: 0 } });
  t.equal(fate(journeys.see(0, sighting('c', 'egress', { verdict: TOO_BIG }), 0)), 'dropped');
  journeys.see(0, sighting('d', 'egress'), 0);
  t.equal(fate(journeys.see(1, sighting('d', 'ingress', { verdict: UNKNOWN_PEER, peer: -1 }), 0)), 'dropped');
  journeys.see(0, sighting('e', 'egress'), 100);
  journeys.see(0, sighting('e', 'egress'), 101);
  journeys.see(1, sighting('f', 'ingress'), 102);
  t.equal(
    fate(journeys.see(1, sighting('e', 'ingress'), 103)),
    'arrived',
    'the first of two that look the same',
  );
  journeys.see(0, sighting('g', 'egress'), 5000);
  t.strictSame(journeys.overdue(1000), []);
  t.strictSame(journeys.overdue(3000).map(fate), ['missing', 'unannounced']);
  t.strictSame(journeys.overdue(3000), []);
  t.equal(fate(journeys.see(0, sighting('h', 'ingress'), 0)), undefined);
  t.equal(
    fate(journeys.see(0, sighting('h', 'egress'), 0)),
    undefined,
    'through the same node twice is no journey',
  );

  const alone = new Journeys(1, DROPS);
  t.match(alone.see(0, sighting('a', 'egress'), 0), { fate: 'arrived', received: undefined });
  t.match(alone.see(0, sighting('a', 'ingress', { verdict: UNKNOWN_PEER }), 0), {
    fate: 'dropped',
    sent: undefined,
  });
});

t.test('bounded: a flood that never arrives is given up, oldest first', async t => {
  const journeys = new Journeys(2, DROPS);
  for (let i = 0; i < 70_000; i++) journeys.see(0, sighting(String(i), 'egress'), 0);
  const given = journeys.overdue(1);
  t.equal(given.length, 70_000 - 65_536);
  t.equal(given[0]!.sent!.sighting.identity, '0');
});

t.test('in words', async t => {
  const lines = new JourneyLines();
  const far = {
    ...CONTEXT,
    addresses: ['192.0.2.2'],
    peers: [null, { id: 'node-a', address: '192.0.2.1', port: 8472 }],
  };
  const say = (journey: Journey) => lines.lines(journeyNote(journey, [CONTEXT, far]));
  const sent = { node: 0, sighting: sighting('a ping', 'egress') };
  const came = { readAt: 1_000_110_000n, doneAt: 1_002_110_000n };
  const received = { node: 1, sighting: sighting('a ping', 'ingress', came) };
  t.strictSame(say({ sent, received, fate: 'arrived' }), [
    '00:00:01.000000 a ping',
    '  192.0.2.1 40.0us > underlay 70.0us > 192.0.2.2 2.00ms, in all 2.11ms',
  ]);
  t.match(journeyNote({ sent, received, fate: 'arrived' }, [CONTEXT, far]), {
    time: '1970-01-01T00:00:01.000000Z',
    steps: [
      { peer: 'node-b (192.0.2.2)', verdict: 'forward' },
      { ns: 70_000 },
      { peer: 'node-a (192.0.2.1)' },
    ],
    reason: null,
  });
  const refused = {
    node: 1,
    sighting: sighting('a ping', 'ingress', { ...came, verdict: UNKNOWN_PEER, peer: -1 }),
  };
  const dropped = say({ sent, received: refused, fate: 'dropped' });
  t.match(dropped[1], /2.00ms, lost: unknown-peer$/);
  t.match(dropped[3], /^ {2}what to do: /);
  t.equal(say({ sent, received: refused, fate: 'dropped' }).length, 2, 'explained once');
  t.match(say({ sent, received: undefined, fate: 'missing' })[1], /40.0us, lost on the way: /);
  t.match(
    say({ sent: undefined, received, fate: 'unannounced' })[1],
    /came without having been seen to leave/,
  );
  const early = {
    node: 1,
    sighting: sighting('a ping', 'ingress', { readAt: 900_000_000n, doneAt: 900_010_000n }),
  };
  t.match(say({ sent, received: early, fate: 'arrived' })[1], /underlay -100ms \(the clocks differ\) > /);
  const meanwhile = {
    node: 1,
    sighting: sighting('a ping', 'ingress', { readAt: 1_000_010_000n, doneAt: 1_000_050_000n }),
  };
  t.match(
    say({ sent, received: meanwhile, fate: 'arrived' })[1],
    /underlay -[\d.]+us \(its batch was still leaving\) > /,
  );
  const error = { node: 0, sighting: sighting('a ping', 'egress', { verdict: TOO_BIG, error: 90 }) };
  t.match(say({ sent: error, received: undefined, fate: 'dropped' })[1], /lost: too-big \(EMSGSIZE\)/);
});

t.test('packets that look the same are all given up in time, and hold up no others', async t => {
  const journeys = new Journeys(2, DROPS);
  const [one] = new Sightings(CONTEXT, () => true).of(
    record('egress', ethernet(ip(V4, 17, udp(1, 2, Uint8Array.of(1), V4)))),
  );
  const other = { ...one!, identity: 'another' };
  for (const at of [0, 10, 1900]) journeys.see(0, one!, at);
  journeys.see(0, other, 100);
  t.equal(journeys.overdue(2050).length, 2);
  t.equal(journeys.overdue(2350)[0]?.sent?.sighting, other);
  t.equal(journeys.overdue(4000).length, 1);
});

t.test('a flood of packets that look the same is not searched through for each of them', async t => {
  const journeys = new Journeys(2, DROPS);
  const { wrapped, count } = countReads([sighting('same', 'egress'), sighting('same', 'ingress')]);
  const [sent, received] = wrapped;
  for (let i = 0; i < 200_000; i++) journeys.see(0, sent!, 0);
  for (let i = 0; i < 100_000; i++) journeys.see(1, received!, 1);
  t.equal(journeys.overdue(1).length, 100_000 - 65_536);
  t.equal(journeys.overdue(3000).length, 65_536);
  t.ok(count() < 300_000 * 20, `${count()} reads of 300 000 sightings`);
});
