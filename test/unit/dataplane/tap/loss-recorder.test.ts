import t from 'tap';
import * as verdicts from '../../../../src/dataplane/descriptor/verdicts.ts';
import { createLossMemory, lossCounts, openLossMemory } from '../../../../src/dataplane/tap/loss-recorder.ts';
import { type Judged, worker } from '../../capture/fixtures/tapped.ts';

const FRAME = new Uint8Array(60).fill(7);
const of = (verdict: number, count: number): Judged[] =>
  Array.from({ length: count }, () => ({ frame: FRAME, verdict }));

function lossy() {
  const losses = createLossMemory();
  const source = worker('egress', 8, 1 << 16, undefined, { losses });
  return { memory: openLossMemory(losses), source };
}

/** Batches of up to 64 frames, as the fixture has room for. */
function pass(source: ReturnType<typeof worker>, judged: readonly Judged[], atMs: number): void {
  for (let from = 0; from < judged.length; from += 64) source.pass(judged.slice(from, from + 64), atMs);
}

t.test('few losses are all kept, and frames that are not lost are not counted', async t => {
  const { memory, source } = lossy();
  const lost = [...of(verdicts.SEND_FAILED, 3), ...of(verdicts.TOO_BIG, 2)];
  pass(source, [...of(verdicts.FORWARD, 20), ...lost, ...of(verdicts.PUNT, 2)], 1000);
  t.same(lossCounts(memory, verdicts.SEND_FAILED), { kept: 3, skipped: 0, every: 1 });
  t.same(lossCounts(memory, verdicts.TOO_BIG), { kept: 2, skipped: 0, every: 1 });
  t.same(lossCounts(memory, verdicts.FORWARD), { kept: 0, skipped: 0, every: 1 });
  t.equal(memory.peers[1], 3, 'frames of the peer, without those of path MTU discovery');
});

t.test('in a flood every n-th frame is kept, and kept and skipped are all that were lost', async t => {
  const { memory, source } = lossy();
  let lost = 0;
  for (let second = 1; second <= 5; second++)
    for (let batch = 0; batch < 40; batch++) {
      pass(source, of(verdicts.NO_PEER, 50), second * 1000);
      lost += 50;
    }
  const { kept, skipped, every } = lossCounts(memory, verdicts.NO_PEER);
  t.equal(kept + skipped, lost);
  t.ok(kept < 200, `${kept} kept`);
  t.ok(every >= 128, `every ${every}th`);
});

t.test('a flood of one verdict leaves the other verdicts alone', async t => {
  const { memory, source } = lossy();
  for (let i = 0; i < 200; i++) pass(source, of(verdicts.NO_PEER, 60), 1000);
  pass(source, of(verdicts.SEND_FAILED, 2), 1000);
  t.same(lossCounts(memory, verdicts.SEND_FAILED), { kept: 2, skipped: 0, every: 1 });
});

t.test('after a pause in the losses all are kept again', async t => {
  const { memory, source } = lossy();
  pass(source, of(verdicts.NO_PEER, 5000), 1000);
  t.ok(lossCounts(memory, verdicts.NO_PEER).every > 1);
  const before = lossCounts(memory, verdicts.NO_PEER).kept;
  pass(source, of(verdicts.NO_PEER, 3), 5000);
  t.equal(lossCounts(memory, verdicts.NO_PEER).kept, before + 3);
});

t.test('broadcast and multicast do not count as losses of a peer', async t => {
  const { memory, source } = lossy();
  pass(source, of(verdicts.MULTICAST, 4), 1000);
  t.equal(memory.peers[1], 0);
  t.equal(lossCounts(memory, verdicts.MULTICAST).kept, 4);
});
