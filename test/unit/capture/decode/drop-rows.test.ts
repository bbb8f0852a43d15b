import t from 'tap';
import { DropLines, dropRow } from '../../../../src/capture/decode/drop-rows.ts';
import { PacketDecoder } from '../../../../src/capture/decode/packet-decoder.ts';
import { PodNames } from '../../../../src/capture/live/pods.ts';
import { NO_PEER, SEND_FAILED, UNKNOWN_PEER } from '../../../../src/dataplane/descriptor/verdicts.ts';
import { ethernet, ip, joined, tcp, V4 } from '../fixtures/frames.ts';
import { CONTEXT, type Judged, worker } from '../fixtures/tapped.ts';

const frame = ethernet(ip(V4, 6, tcp({ from: 40000, to: 80, sequence: 1, flags: 2 }, new Uint8Array(0), V4)));
const decoder = new PacketDecoder(CONTEXT, { points: 16, snapLength: 256, segments: false });

function notes(direction: 'egress' | 'ingress', judged: Judged[], nowMs = 0) {
  const one = worker(direction);
  one.want({ points: 16, snapLength: 256 });
  one.pass(judged, nowMs);
  return one.reader.take().map(record => dropRow(record, CONTEXT, decoder));
}

t.test('what is said about a drop', async t => {
  const [failed] = notes('egress', [{ frame, verdict: SEND_FAILED, error: 101 }]);
  t.match(failed, {
    reason: 'send-failed',
    direction: 'egress',
    packet: '10.244.1.5.40000 > 10.244.2.9.80: TCP Flags [S], seq 1, win 500, length 0',
    peer: 'node-b (192.0.2.2)',
    from: null,
    errno: 'ENETUNREACH',
  });
  const wrapped = joined([8, 0, 0, 0, 0, 0, 1, 0], frame);
  const [stranger] = notes('ingress', [
    { frame: wrapped, verdict: UNKNOWN_PEER, peer: -1, source: [192, 0, 2, 66] },
  ]);
  t.match(stranger, { packet: /^10\.244\.1\.5\.40000 > /, peer: null, from: '192.0.2.66', errno: null });
  const shown = new DropLines();
  const lines = [failed!, stranger!, failed!].flatMap(note => shown.lines(note));
  t.equal(lines.length, 7, 'each reason is explained once');
  t.match(
    lines[0],
    /^\d\d:\d\d:\d\d\.\d{3} send-failed +egress {2}10\..* {2}\(ENETUNREACH, to node-b \(192\.0\.2\.2\)\)$/,
  );
  t.strictSame(lines.slice(1, 3), [
    '  the kernel refused the datagram',
    `  what to do: ${CONTEXT.verdicts[SEND_FAILED]!.remedy}`,
  ]);
  t.match(lines[3], / unknown-peer +ingress .*\(from 192\.0\.2\.66\)$/);
});

t.test('a drop of a pod of this node, in either direction, names it', async t => {
  const one = worker('ingress');
  one.want({ points: 31, snapLength: 256 });
  const wrapped = joined([8, 0, 0, 0, 0, 0, 1, 0], frame);
  one.pass([{ frame: wrapped, verdict: UNKNOWN_PEER, peer: -1, source: [192, 0, 2, 66] }]);
  const [record] = one.reader.take();
  const pods = new PodNames();
  const naming = new PacketDecoder(CONTEXT, { points: 16, snapLength: 256, segments: false, pods });
  t.match(dropRow(record!, CONTEXT, naming), { sourcePod: null, destinationPod: null });
  const until = new Date(Number(record!.time / 1_000_000n) + 1).toISOString();
  const since = '1970-01-01T00:00:00.000Z';
  pods.replace([
    { address: '10.244.2.9', namespace: 'default', name: 'web-1', since, until },
    { address: '10.244.2.9', namespace: 'default', name: 'web-2', since: until, until: null },
  ]);
  const row = dropRow(record!, CONTEXT, naming);
  t.match(row, { sourcePod: null, destinationPod: 'default/web-1' });
  t.match(new DropLines().lines(row)[0], /\(from 192\.0\.2\.66, pods - > default\/web-1\)$/);
  t.match(naming.packets(record!), [{ comments: [/unknown-peer/, 'pods - > default/web-1'] }]);
});

t.test('a flood of one reason is a count; another reason stays visible', async t => {
  const [flood] = notes('egress', [{ frame, verdict: NO_PEER, peer: -1 }]);
  const [rare] = notes('egress', [{ frame, verdict: SEND_FAILED, error: 1 }]);
  const shown = new DropLines();
  const at = (time: string) => shown.lines({ ...flood!, time });
  const first = Array.from({ length: 1000 }, () => at('2026-01-01T00:00:01.500Z')).flat();
  t.equal(first.length, 12);
  t.equal(shown.lines({ ...rare!, time: '2026-01-01T00:00:01.600Z' }).length, 3);
  t.strictSame(at('2026-01-01T00:00:02.000Z')[0], '00:00:01     no-peer          990 more in this second');
  for (let i = 0; i < 12; i++) at('2026-01-01T00:00:02.100Z');
  t.strictSame(shown.rest(), ['00:00:02     no-peer          3 more in this second']);
});
