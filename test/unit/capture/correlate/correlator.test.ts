import t from 'tap';
import { Correlator, type PacketPath } from '../../../../src/capture/correlate/correlator.ts';
import {
  fingerprint,
  type Observation,
  ObservationReader,
} from '../../../../src/capture/correlate/observation.ts';
import { PathLines, pathRow } from '../../../../src/capture/correlate/rows.ts';
import { segmentGso } from '../../../../src/capture/decode/segments.ts';
import { PodNames } from '../../../../src/capture/live/pods.ts';
import { type CaptureRecord, NO_LOSSES } from '../../../../src/capture/live/record.ts';
import { FORWARD, TOO_BIG, UNKNOWN_PEER, VERDICTS } from '../../../../src/dataplane/descriptor/verdicts.ts';
import { EGRESS_INNER, INGRESS_INNER } from '../../../../src/dataplane/tap/record-layout.ts';
import { seeded } from '../../../fixtures/random.ts';
import { countReads } from '../../../fixtures/traffic/reads.ts';
import { ethernet, ip, joined, tcp, udp, V4, V6 } from '../fixtures/frames.ts';
import { CONTEXT } from '../fixtures/tapped.ts';

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
    places: 0,
    flowInfo: 0,
    arrivedEcn: 0,
    verdict: FORWARD,
    remote: CONTEXT.peers[1]!,
    offload: NONE,
    segments: 1,
    error: 0,
    port: 0,
  };
  return {
    direction,
    points,
    time: 1_000_000_000n,
    bytes,
    ...common,
    tookNs: 40_000,
    decidedNs: 0,
    lost: NO_LOSSES,
    ...extra,
  };
}

const inVxlan = (frame: Uint8Array) => joined([8, 0, 0, 0, 0, 0, 1, 0], frame);

t.test('a packet is the same at both nodes, and another one is another', async t => {
  const random = seeded(t, 81);
  for (const ends of [V4, V6]) {
    const payload = random.bytes(5000);
    const fields = { from: 40000, to: 80, sequence: 7, flags: 0x10 };
    const gsoPacket = ethernet(ip(ends, 6, tcp(fields, payload, ends), 9));
    const l3 = 14;
    const l4 = l3 + (ends === V4 ? 20 : 40);
    const offload = { flags: 1, gsoType: ends === V4 ? 1 : 4, gsoSize: 1400, csumStart: l4, csumOffset: 16 };
    const wire = segmentGso({ bytes: gsoPacket, length: gsoPacket.length }, offload, 'ethernet');
    t.equal(wire.length, 4);
    // The sender's node captured the first bytes of the gsoPacket, the receiver's each segment, with TTL and TOS changed.
    const cut = gsoPacket.subarray(0, l4 + 32 + 10);
    const sent = new ObservationReader(CONTEXT, () => true).read(
      record('egress', cut, { length: gsoPacket.length, offload, segments: 4 }),
    );
    const received = wire.flatMap(({ bytes }) => {
      const changed = bytes.slice();
      if (ends === V4) changed.set([3], l3 + 1);
      changed[ends === V4 ? l3 + 8 : l3 + 7]! -= 1;
      return new ObservationReader(CONTEXT, () => true).read(
        record('ingress', inVxlan(changed.subarray(0, 200)), { length: bytes.length + 8 }),
      );
    });
    t.strictSame(
      sent.map(observation => observation.fingerprint),
      received.map(observation => observation.fingerprint),
    );
    t.equal(new Set(sent.map(observation => observation.fingerprint)).size, 4);
    t.match(sent[3]!.describe(), /10.244|fd00/);
    t.equal(sent[0]!.doneAt - sent[0]!.readAt, 40_000n);
  }
  const datagram = (byte: number) => ethernet(ip(V4, 17, udp(1, 2, Uint8Array.of(1, 2, byte), V4)));
  const print = (bytes: Uint8Array) => fingerprint({ bytes, length: bytes.length }, 'ethernet');
  t.equal(print(datagram(3)), print(datagram(3)));
  t.not(print(datagram(3)), print(datagram(4)), 'by the payload');
  for (let i = 0; i < 2000; i++) print(random.bytes(random.between(0, 90)));
  const only = new ObservationReader(CONTEXT, flow => flow.destinationPort === 2);
  t.equal(only.read(record('egress', datagram(3))).length, 1);
  t.equal(only.read(record('egress', ethernet(ip(V4, 17, udp(1, 3, Uint8Array.of(1), V4))))).length, 0);
  t.equal(
    only.read(record('egress', joined(new Uint8Array(12), [8, 6], new Uint8Array(28)))).length,
    0,
    'ARP',
  );
});

function observation(
  fingerprint: string,
  direction: 'egress' | 'ingress',
  more: Partial<Observation> = {},
): Observation {
  const times = { readAt: 1_000_000_000n, doneAt: 1_000_040_000n };
  return {
    fingerprint,
    source: '10.244.1.5',
    destination: '10.244.2.9',
    describe: () => fingerprint,
    direction,
    ...times,
    verdict: FORWARD,
    remote: CONTEXT.peers[1]!,
    error: 0,
    ...more,
  };
}

t.test('paths: arrived, lost here, lost there, lost between, and reported in any order', async t => {
  const paths = new Correlator(2, DROPS);
  const fate = (path: PacketPath | undefined) => path?.fate;
  t.equal(fate(paths.add(0, observation('a', 'egress'), 0)), undefined);
  t.match(paths.add(1, observation('a', 'ingress'), 1), {
    fate: 'arrived',
    sent: { node: 0 },
    received: { node: 1 },
  });
  t.equal(fate(paths.add(1, observation('b', 'ingress'), 0)), undefined, 'the receive is reported first');
  t.match(paths.add(0, observation('b', 'egress'), 1), { fate: 'arrived', sent: { node: 0 } });
  t.equal(fate(paths.add(0, observation('c', 'egress', { verdict: TOO_BIG }), 0)), 'dropped');
  paths.add(0, observation('d', 'egress'), 0);
  t.equal(
    fate(paths.add(1, observation('d', 'ingress', { verdict: UNKNOWN_PEER, remote: undefined }), 0)),
    'dropped',
  );
  paths.add(0, observation('e', 'egress'), 100);
  paths.add(0, observation('e', 'egress'), 101);
  paths.add(1, observation('f', 'ingress'), 102);
  t.equal(
    fate(paths.add(1, observation('e', 'ingress'), 103)),
    'arrived',
    'the first of two that look the same',
  );
  paths.add(0, observation('g', 'egress'), 5000);
  t.strictSame(paths.expire(1000), []);
  t.strictSame(paths.expire(3000).map(fate), ['missing', 'unmatched']);
  t.strictSame(paths.expire(3000), []);
  t.equal(fate(paths.add(0, observation('h', 'ingress'), 0)), undefined);
  t.equal(fate(paths.add(0, observation('h', 'egress'), 0)), undefined, 'the same node twice is not a path');

  const alone = new Correlator(1, DROPS);
  t.match(alone.add(0, observation('a', 'egress'), 0), { fate: 'arrived', received: undefined });
  t.match(alone.add(0, observation('a', 'ingress', { verdict: UNKNOWN_PEER }), 0), {
    fate: 'dropped',
    sent: undefined,
  });
});

t.test('bounded: a flood that never arrives is given up, oldest first', async t => {
  const paths = new Correlator(2, DROPS);
  for (let i = 0; i < 70_000; i++) paths.add(0, observation(String(i), 'egress'), 0);
  const given = paths.expire(1);
  t.equal(given.length, 70_000 - 65_536);
  t.equal(given[0]!.sent!.observation.fingerprint, '0');
});

t.test('in words', async t => {
  const lines = new PathLines();
  const far = {
    ...CONTEXT,
    addresses: ['192.0.2.2'],
    peers: [null, { id: 'node-a', address: '192.0.2.1', port: 8472, remoteChecksum: false }],
  };
  const pods = new PodNames();
  const say = (path: PacketPath) => lines.lines(pathRow(path, [CONTEXT, far], [pods, new PodNames()]));
  const sent = { node: 0, observation: observation('a ping', 'egress') };
  const came = { readAt: 1_000_110_000n, doneAt: 1_002_110_000n, remote: far.peers[1] ?? undefined };
  const received = { node: 1, observation: observation('a ping', 'ingress', came) };
  t.strictSame(say({ sent, received, fate: 'arrived' }), [
    '00:00:01.000000 a ping',
    '  192.0.2.1 40us > underlay 70us > 192.0.2.2 2.00ms, total 2.11ms',
  ]);
  t.match(pathRow({ sent, received, fate: 'arrived' }, [CONTEXT, far], [pods, new PodNames()]), {
    time: '1970-01-01T00:00:01.000000Z',
    steps: [
      { peer: 'node-b (192.0.2.2)', verdict: 'forward' },
      { ns: 70_000 },
      { peer: 'node-a (192.0.2.1)' },
    ],
    reason: null,
  });
  pods.replace([
    {
      address: '10.244.2.9',
      namespace: 'kube-system',
      name: 'dns',
      since: '1970-01-01T00:00:00.000Z',
      until: null,
    },
  ]);
  t.match(pathRow({ sent, received, fate: 'arrived' }, [CONTEXT, far], [new PodNames(), pods]), {
    ...{ sourcePod: null, destinationPod: 'kube-system/dns' },
  });
  t.match(say({ sent, received, fate: 'arrived' })[0], /a ping {2}\(pods - > kube-system\/dns\)$/);
  pods.replace([]);
  const refused = {
    node: 1,
    observation: observation('a ping', 'ingress', { ...came, verdict: UNKNOWN_PEER, remote: undefined }),
  };
  const dropped = say({ sent, received: refused, fate: 'dropped' });
  t.match(dropped[1], /2.00ms, dropped: unknown-peer$/);
  t.match(dropped[3], /^ {2}what to do: /);
  t.equal(say({ sent, received: refused, fate: 'dropped' }).length, 2, 'explained once');
  t.match(say({ sent, received: undefined, fate: 'missing' })[1], /40us, lost between the nodes: /);
  t.match(say({ sent: undefined, received, fate: 'unmatched' })[1], /did not see it leave/);
  const early = {
    node: 1,
    observation: observation('a ping', 'ingress', { readAt: 900_000_000n, doneAt: 900_010_000n }),
  };
  t.match(say({ sent, received: early, fate: 'arrived' })[1], /underlay -100ms \(the clocks differ\) > /);
  const meanwhile = {
    node: 1,
    observation: observation('a ping', 'ingress', { readAt: 1_000_010_000n, doneAt: 1_000_050_000n }),
  };
  t.match(
    say({ sent, received: meanwhile, fate: 'arrived' })[1],
    /underlay -[\d.]+us \(read before the batch was sent\) > /,
  );
  const error = { node: 0, observation: observation('a ping', 'egress', { verdict: TOO_BIG, error: 90 }) };
  t.match(say({ sent: error, received: undefined, fate: 'dropped' })[1], /dropped: too-big \(EMSGSIZE\)/);
});

t.test('packets that look the same are all given up in time, and hold up no others', async t => {
  const paths = new Correlator(2, DROPS);
  const [one] = new ObservationReader(CONTEXT, () => true).read(
    record('egress', ethernet(ip(V4, 17, udp(1, 2, Uint8Array.of(1), V4)))),
  );
  const other = { ...one!, fingerprint: 'another' };
  for (const at of [0, 10, 1900]) paths.add(0, one!, at);
  paths.add(0, other, 100);
  t.equal(paths.expire(2050).length, 2);
  t.equal(paths.expire(2350)[0]?.sent?.observation, other);
  t.equal(paths.expire(4000).length, 1);
});

t.test('a flood of packets that look the same is not searched through for each of them', async t => {
  const paths = new Correlator(2, DROPS);
  const { wrapped, count } = countReads([observation('same', 'egress'), observation('same', 'ingress')]);
  const [sent, received] = wrapped;
  for (let i = 0; i < 200_000; i++) paths.add(0, sent!, 0);
  for (let i = 0; i < 100_000; i++) paths.add(1, received!, 1);
  t.equal(paths.expire(1).length, 100_000 - 65_536);
  t.equal(paths.expire(3000).length, 65_536);
  t.ok(count() < 300_000 * 20, `${count()} reads of 300 000 observations`);
});
