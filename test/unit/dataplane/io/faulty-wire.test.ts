import { isDeepStrictEqual } from 'node:util';
import t from 'tap';
import { openCounters } from '../../../../src/dataplane/descriptor/counters.ts';
import { verdictCount } from '../../../../src/dataplane/descriptor/read-counters.ts';
import { VERDICTS } from '../../../../src/dataplane/descriptor/verdicts.ts';
import { forwardEgressBatch, forwardIngressBatch } from '../../../../src/dataplane/fast-path/forwarder.ts';
import { faultyPort } from '../../../fixtures/io/fault.ts';
import { loopbackForwarders } from '../../../fixtures/io/loopback-forwarder.ts';
import { makePacket } from '../../../golden/packets.ts';

const frames = Array.from({ length: 40 }, (_, flow) => ({
  bytes: makePacket({ family: flow & 1 ? 6 : 4, protocol: 17, flow, payload: new Uint8Array(64) }).bytes,
}));

/** Everything through a wire with these faults. */
function through(faults: { lose?: number; corrupt?: number; duplicate?: number; swap?: number }, seed = 7) {
  const delivered: string[] = [];
  const made = loopbackForwarders(frames, {
    total: 4000,
    keep: frame => delivered.push(Buffer.from(frame).toString('hex')),
  });
  const port = faultyPort(made.ingress.port, { seed, ...faults });
  const ingress = { ...made.ingress, port };
  while (forwardEgressBatch(made.egress) > 0) while (forwardIngressBatch(ingress) > 0);
  const counters = openCounters(made.counters);
  const counted = (name: string) =>
    verdictCount(
      counters,
      VERDICTS.findIndex(verdict => verdict.name === name),
    ).frames;
  return { delivered, counts: port.counts, counted };
}

t.test('what a faulty wire loses and doubles is what the far side misses and has twice', t => {
  const { delivered, counts } = through({ lose: 0.1, duplicate: 0.05, swap: 0.1 });
  t.ok(counts.lost > 300 && counts.duplicated > 100 && counts.swapped > 300, JSON.stringify(counts));
  t.equal(delivered.length, 4000 - counts.lost + counts.duplicated);
  const again = (seed: number) => through({ lose: 0.1, duplicate: 0.05, swap: 0.1 }, seed).delivered;
  t.ok(isDeepStrictEqual(again(7), delivered), 'the same seed, the same faults');
  t.notOk(isDeepStrictEqual(again(8), delivered), 'another seed, other faults');
  t.end();
});

t.test('flipped bits never crash the gate, and every datagram has one fate', t => {
  const { delivered, counts, counted } = through({ corrupt: 1 });
  t.equal(counts.corrupted, 4000);
  const dropped = VERDICTS.filter(({ drop }) => drop).reduce((sum, { name }) => sum + counted(name), 0);
  t.equal(delivered.length + dropped, 4000);
  for (const name of ['bad-flags', 'wrong-vni', 'spoofed-source', 'inner-malformed', 'not-for-us'])
    t.ok(counted(name) > 0, `${counted(name)} ${name}`);
  t.end();
});
