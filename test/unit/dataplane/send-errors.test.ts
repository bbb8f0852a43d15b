import t from 'tap';
import {
  createBatch,
  DESC_ERROR,
  DESC_PEER,
  DESC_STRIDE,
  DESC_VERDICT,
} from '../../../src/dataplane/descriptor/descriptor.ts';
import { FORWARD, TOO_BIG } from '../../../src/dataplane/descriptor/verdicts.ts';
import { SlowPath } from '../../../src/dataplane/slow-path/slow-path.ts';
import { PEER_PATH_MTU, PEER_STRIDE, peerWords } from '../../../src/dataplane/tables/peer-table.ts';
import type { TableView } from '../../../src/dataplane/tables/tables.ts';

const EMSGSIZE = 90;

t.test('only what the kernel refused is told as a shrunken path', t => {
  const batch = createBatch(4, 4096);
  const peers = new Int32Array(peerWords(3));
  for (const [slot, mtu] of [1400, 1500, 1450].entries()) peers[slot * PEER_STRIDE + PEER_PATH_MTU] = mtu;
  const reports: [number, number][] = [];
  const never = () => {
    throw new Error('not called by a review');
  };
  const device = { readBatch: never, writeBatch: never, close: never };
  const port = { sendBatch: never, receiveBatch: never, sources: new Int32Array(0), close: never };
  const exceptions = new SlowPath({
    device,
    port,
    batch,
    flood: 0,
    sendIcmp: never,
    reportTooBig: (slot, bytes) => reports.push([slot, bytes]),
    nowMs: () => 0,
  });
  const frames = [
    [TOO_BIG, 0, 0], // judged by what is known of peer 0: no news, and no reason to lower its path further
    [TOO_BIG, 1, EMSGSIZE],
    [FORWARD, 0, 0],
    [TOO_BIG, 2, EMSGSIZE],
  ] as const;
  for (const [index, [verdict, peer, error]] of frames.entries()) {
    batch.table[index * DESC_STRIDE + DESC_VERDICT] = verdict;
    batch.table[index * DESC_STRIDE + DESC_PEER] = peer;
    batch.table[index * DESC_STRIDE + DESC_ERROR] = error;
  }
  exceptions.reportSendErrors(batch, frames.length, { peers } as unknown as TableView);
  t.same(reports, [
    [1, 1500],
    [2, 1450],
  ]);
  t.end();
});
