import t from 'tap';
import { PORT, podAddress, VNI, vtepMac } from '../../fixtures/agents/overlay.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';
import * as wire from '../../fixtures/traffic/datagrams.ts';
import { sendBurst } from '../../fixtures/traffic/send-burst.ts';
import { gateFor, judged } from '../../fixtures/traffic/source-check.ts';

const skip = skipUnless('root', 'netns', 'tun', 'ip');
t.test('corrupt segment: not merged into a GSO packet', { skip }, async t => {
  const gate = await gateFor(t, { mode: 'vxlan' });
  const { ours, peer, plane } = gate;
  for (const family of [4, 6] as const) {
    const segment = (index: number, checksum: 'good' | 'bad' | 'unfinished') => {
      const wish = { sequence: 1000 + index * 500, payload: new Uint8Array(500).fill(index), checksum };
      const packet = wire.tcp(podAddress(peer, family), podAddress(ours, family), wish);
      return wire.vxlan(VNI, wire.ethernet(vtepMac(ours), vtepMac(peer), wire.etherType(packet), packet));
    };
    const to = { address: ours.underlay[4], port: PORT.vxlan };
    const from = { ns: peer.ns, address: peer.underlay[4] };
    const bad = new Set([3, 4, 9, 19]);
    const run = (checksum: 'good' | 'bad' | 'unfinished') =>
      Array.from({ length: 20 }, (_, index) => segment(index, bad.has(index) ? checksum : 'good'));
    const merged = plane.counters().ingress.coalesced;
    const good = await judged(gate, 20, async () => sendBurst(from, to, run('good')));
    t.same(good, { forward: 20 });
    t.equal(
      plane.counters().ingress.coalesced - merged,
      19,
      `IPv${family}: twenty good ones are one GSO packet`,
    );
    for (const checksum of ['bad', 'unfinished'] as const) {
      const result = await judged(gate, 20, async () => sendBurst(from, to, run(checksum)));
      t.equal((result['bad-checksum'] ?? 0) + (result.forward ?? 0), 20, JSON.stringify(result));
      // A lone wrong one is left to the pod's kernel, an unfinished one never: that kernel would take it for corrupt too.
      if (checksum === 'unfinished') t.equal(result['bad-checksum'], 4, `IPv${family}: ${checksum}`);
      else t.ok(result['bad-checksum']! >= 1, `IPv${family}: ${checksum}`);
    }
    const lone = await judged(gate, 1, () => gate.fromPeer.fire([segment(0, 'unfinished')]));
    t.same(lone, { 'bad-checksum': 1 }, `IPv${family}: alone and unfinished`);
  }
});
