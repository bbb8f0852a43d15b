import t from 'tap';
import { openCounters, verdictTally } from '../../../../src/dataplane/descriptor/counters.ts';
import { createBatch } from '../../../../src/dataplane/descriptor/descriptor.ts';
import { VERDICTS } from '../../../../src/dataplane/descriptor/verdicts.ts';
import { egressTurn, ingressTurn } from '../../../../src/dataplane/fast-path/forwarder.ts';
import { makePacket } from '../../../golden/packets.ts';
import { faultyPort } from '../../../support/io/fault.ts';
import { LoopbackDevice } from '../../../support/io/loopback.ts';
import { loopbackForwarders } from '../../../support/io/loopback-forwarder.ts';
import { tracedDevice } from '../../../support/io/trace.ts';

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
  while (egressTurn(made.egress, 0) > 0) while (ingressTurn(ingress, 0) > 0);
  const counters = openCounters(made.counters);
  const counted = (name: string) =>
    verdictTally(
      counters,
      VERDICTS.findIndex(verdict => verdict.name === name),
    ).frames;
  return { delivered, counts: port.counts, counted };
}

t.test('what a faulty wire loses and doubles is what the far side misses and has twice', t => {
  const { delivered, counts } = through({ lose: 0.1, duplicate: 0.05, swap: 0.1 });
  t.ok(counts.lost > 300 && counts.duplicated > 100 && counts.swapped > 300, JSON.stringify(counts));
  t.equal(delivered.length, 4000 - counts.lost + counts.duplicated);
  t.strictSame(
    through({ lose: 0.1, duplicate: 0.05, swap: 0.1 }).delivered,
    delivered,
    'the same seed, the same faults',
  );
  t.notSame(through({ lose: 0.1, duplicate: 0.05, swap: 0.1 }, 8).delivered, delivered);
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

t.test('a traced device tells frames as tcpdump does', t => {
  const lines: string[] = [];
  const device = tracedDevice(new LoopbackDevice(frames.slice(0, 2)), 'tap', line => lines.push(line));
  const batch = createBatch(4, 1 << 16);
  t.equal(device.readBatch(batch, 0), 2);
  batch.table[6] = 1;
  device.writeBatch(batch, 2);
  t.equal(lines.length, 3, 'two read, one of them written');
  t.match(lines[0], /^> .*IP 10\.244\.1\.2\.40000 > 10\.244\.2\.3\.5201: UDP, length 64$/);
  t.match(lines[1], /^> .*IP6 fd00:1::3\.40001 > fd00:2::3/);
  t.match(lines[2], /^< .*IP 10\.244\.1\.2/);
  t.end();
});
