import { forwardEgressBatch, forwardIngressBatch } from '../../../src/dataplane/fast-path/forwarder.ts';
import { makePacket } from '../../golden/packets.ts';
import { loopbackForwarders } from './loopback-forwarder.ts';

/*
 * A million frames through both directions, between two marks on standard output. Run with --trace-gc and
 * --trace-deopt: what V8 prints between the marks was caused by the hot path. `leak` allocates on purpose, so that the
 * test that reads the marks can show that it would notice.
 */

const FRAMES = 1_000_000;
const WARM_UP = 500_000;

const frames = [4, 6].flatMap(family =>
  [6, 17].flatMap(protocol =>
    [0, 1, 2, 3].map(flow => {
      const packet = makePacket({
        family: family as 4 | 6,
        protocol: protocol as 6 | 17,
        flow,
        payload: new Uint8Array(64),
      });
      return { bytes: packet.bytes };
    }),
  ),
);

function run(total: number, leak: unknown[] | undefined): number {
  const { egress, ingress, delivered } = forwarders;
  const start = delivered.written.frames;
  while (delivered.written.frames - start < total) {
    forwardEgressBatch(egress, 0);
    while (forwardIngressBatch(ingress, 0) > 0);
    if (leak) leak.push({ at: delivered.written.frames, text: `frame ${delivered.written.frames}` });
  }
  return delivered.written.frames - start;
}

const forwarders = loopbackForwarders(frames, { total: 2 ** 31 - 1 });
// Several rounds, so that the way out of the loop is warm too; then an empty heap, so that what falls between the marks
// is the hot path's own.
for (let round = 0; round < 10; round++) run(WARM_UP / 10, undefined);
(globalThis as { gc?: () => void }).gc?.();
console.log('MARK begin');
const before = process.memoryUsage().heapUsed;
const carried = run(FRAMES, process.argv.includes('leak') ? [] : undefined);
const grown = process.memoryUsage().heapUsed - before;
console.log('MARK end');
console.log(`carried ${carried} grown ${grown}`);
