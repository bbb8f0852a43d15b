import t from 'tap';
import { podAddress, VNI, vtepMac } from '../../fixtures/agents/overlay.ts';
import { type Random, seeded } from '../../fixtures/random.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';
import * as wire from '../../fixtures/traffic/datagrams.ts';
import { frames, gateFor, judged, seen } from '../../fixtures/traffic/source-check.ts';

const skip = skipUnless('root', 'netns', 'tun', 'ip');
/** One datagram that was good before chance had it. */
function mutated(random: Random, good: readonly Uint8Array[]): Uint8Array {
  let bytes: Uint8Array = random.pick(good).slice();
  for (let times = random.between(1, 6); times > 0; times--) {
    if (bytes.length === 0) return bytes;
    const kind = random.between(0, 9);
    if (kind < 5) bytes = wire.flip(bytes, random.between(0, Math.min(bytes.length, 80) * 8 - 1));
    else if (kind < 7) bytes[random.between(0, bytes.length - 1)] = random.between(0, 255);
    else if (kind === 7) bytes = bytes.slice(0, random.between(0, bytes.length));
    else if (kind === 8) bytes = wire.join(bytes, random.bytes(random.between(0, 60)));
    else
      bytes = wire.put(
        bytes,
        random.between(0, bytes.length - 1),
        random.pick([0, 0xff, 0x45, 0x60, 0x80, 0x7f]),
      );
  }
  return bytes;
}

for (const mode of ['vxlan', 'udp'] as const) {
  t.test(`${mode}: a blast of mutated datagrams, all accounted for`, { skip }, async t => {
    const random = seeded(t);
    const gate = await gateFor(t, { mode });
    const { ours, peer, plane } = gate;
    const packets = ([4, 6] as const).flatMap(family => [
      wire.echoReply(podAddress(peer, family), podAddress(ours, family)),
      wire.tcp(podAddress(peer, family), podAddress(ours, family), {
        sequence: 1,
        payload: new Uint8Array(40),
      }),
      wire.ip(podAddress(peer, family), podAddress(ours, family), 17, new Uint8Array(30)),
    ]);
    const wrap = (packet: Uint8Array) =>
      wire.vxlan(VNI, wire.ethernet(vtepMac(ours), vtepMac(peer), wire.etherType(packet), packet));
    const good = mode === 'vxlan' ? packets.map(wrap) : packets;
    const [before, written] = [frames(plane), seen(gate)];
    const egress = plane.counters().egress.batches;
    const count = mode === 'vxlan' ? 140_000 : 60_000;
    for (let fired = 0; fired < count; fired += 2000) {
      const gun = random.chance(0.05) ? gate.fromStranger : gate.fromPeer;
      const round = Array.from({ length: 2000 }, () => mutated(random, good));
      await judged(gate, round.length, () => gun.fire(round));
    }
    const after = frames(plane);
    const deltas = Object.fromEntries(Object.keys(after).map(name => [name, after[name]! - before[name]!]));
    t.equal(
      Object.values(deltas).reduce((sum, delta) => sum + delta, 0),
      count,
      'sent is judged, one to one',
    );
    t.equal(plane.counters().egress.batches, egress, 'nothing came back that could be counted by mistake');
    t.ok(seen(gate) - written <= deltas.forward!, 'the device got no frame that was not judged good');
    const reasons = mode === 'vxlan' ? 7 : 4;
    const met = Object.entries(deltas).filter(([, delta]) => delta > 0);
    t.ok(met.length >= reasons, JSON.stringify(Object.fromEntries(met)));
    t.same(
      await judged(gate, good.length, () => gate.fromPeer.fire(good)),
      { forward: good.length },
      'alive',
    );
    t.equal(plane.counters().restarts, 0, 'no worker has restarted');
  });
}
