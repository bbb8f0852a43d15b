import t from 'tap';
import { PacketDecoder } from '../../../../src/capture/decode/packet-decoder.ts';
import { createFilter, type FilterOptions } from '../../../../src/capture/filter/filter.ts';
import { pointBits, resolveSelection } from '../../../../src/capture/filter/selection.ts';
import { DROP_VERDICTS, FORWARD, NO_PEER, WRONG_VNI } from '../../../../src/dataplane/descriptor/verdicts.ts';
import { skipUnless } from '../../../fixtures/skip-unless.ts';
import { ethernet, ip, joined, tcp, udp, V4, V6 } from '../fixtures/frames.ts';
import { CONTEXT, type Judged, UDP_CONTEXT, worker } from '../fixtures/tapped.ts';

const web = ethernet(ip(V4, 6, tcp({ from: 40000, to: 80, sequence: 1, flags: 2 }, new Uint8Array(0), V4)));
const dns = ethernet(ip(V6, 17, udp(40000, 53, new Uint8Array(30), V6)));

async function seen(
  options: FilterOptions,
  direction: 'egress' | 'ingress',
  judged: Judged[],
  context = CONTEXT,
) {
  const one = worker(direction, context.mode === 'vxlan' ? 8 : 0);
  one.want({ points: 31, snapLength: 0 });
  one.pass(judged);
  const filter = await createFilter(
    options,
    context,
    new PacketDecoder(context, { points: 31, snapLength: 0, segments: false }),
  );
  return one.reader.take().flatMap((record, i) => (filter(record) ? [i] : []));
}

t.test('inner and outer filters, of both directions', { skip: skipUnless('tcpdump') }, async t => {
  const out = [
    { frame: web },
    { frame: dns },
    { frame: web, verdict: NO_PEER, peer: -1 },
    { frame: dns, peer: 2 },
  ];
  t.strictSame(await seen({}, 'egress', out), [0, 1, 2, 3]);
  t.strictSame(await seen({ inner: 'tcp port 80' }, 'egress', out), [0, 2]);
  t.strictSame(await seen({ outer: 'dst host 192.0.2.2 and udp dst port 8472' }, 'egress', out), [0, 1]);
  t.strictSame(await seen({ outer: 'ip6', inner: 'udp port 53' }, 'egress', out), [3]);
  const wrapped = (frame: Uint8Array, vni: number) => joined([8, 0, 0, 0, 0, 0, vni, 0], frame);
  const back = [
    { frame: wrapped(web, 1) },
    { frame: wrapped(dns, 1), source: [192, 0, 2, 77] },
    { frame: wrapped(web, 9), verdict: WRONG_VNI },
  ];
  t.strictSame(await seen({ inner: 'ip6' }, 'ingress', back), [1]);
  t.strictSame(await seen({ outer: 'src host 192.0.2.77' }, 'ingress', back), [1]);
  t.strictSame(await seen({ vni: 9 }, 'ingress', back), [2]);
  t.strictSame(await seen({ vni: 1, inner: 'tcp' }, 'ingress', back), [0]);
  t.strictSame(
    await seen({ inner: 'tcp dst port 80' }, 'egress', [{ frame: web.slice(14) }], UDP_CONTEXT),
    [0],
  );
});

t.test('names become numbers', async t => {
  t.strictSame(resolveSelection({ snapLength: 128 }, CONTEXT), { points: 31, snapLength: 128 });
  t.strictSame(
    resolveSelection(
      { snapLength: 0, points: ['drop', 'egress-outer'], verdicts: ['no-peer', 'forward'], peer: 'node-c' },
      CONTEXT,
    ),
    { points: 18, snapLength: 0, verdicts: [NO_PEER, FORWARD], peer: 2 },
  );
  t.strictSame(
    resolveSelection({ snapLength: 0, verdicts: ['drop'], peer: '2001:0db8::0003' }, CONTEXT).verdicts,
    DROP_VERDICTS,
  );
  t.equal(resolveSelection({ snapLength: 0, peer: '2001:0db8::0003' }, CONTEXT).peer, 2);
});

t.test('unknown names: what was meant', async t => {
  const fails = (selection: object, message: string, hint: RegExp) =>
    t.throws(() => resolveSelection({ snapLength: 0, ...selection }, CONTEXT), {
      code: 'ECAPTURE',
      message,
      hint,
    });
  fails({ points: ['egres-inner'] }, 'unknown capture point "egres-inner"', /did you mean "egress-inner"\?/);
  fails({ verdicts: ['nopeer'] }, 'unknown verdict "nopeer"', /did you mean "no-peer"\?/);
  fails({ peer: 'node-d' }, 'unknown peer "node-d"', /did you mean/);
  fails({ peer: '198.51.100.200' }, 'unknown peer "198.51.100.200"', /known: node-b, 192\.0\.2\.2/);
  t.throws(() => pointBits(['everything-at-once']), {
    code: 'ECAPTURE',
    message: 'unknown capture point "everything-at-once"',
    hint: /^known: egress-inner, /,
  });
});
