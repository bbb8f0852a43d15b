import t from 'tap';
import { egressBalance, ingressBalance, type Reading } from '../../../src/diagnose/audit/balance.ts';

const zero: Reading = {
  ...{ frames: 0, segments: 0, judged: {}, judgedSegments: 0 },
  ...{ dropped: 0, droppedAs: 'device-queue-full', read: 0, waitingBytes: 0 },
};
const QUEUE = 1000;

t.test('egress where everything was judged, no residue in frames and segments', async t => {
  const before = { ...zero, frames: 5, segments: 9, judged: { forward: 5 }, judgedSegments: 9, read: 5 };
  const after = {
    ...{ ...zero, frames: 15, segments: 59, read: 15 },
    ...{ judged: { forward: 12, 'no-peer': 3 }, judgedSegments: 59 },
  };
  t.match(egressBalance(before, after, QUEUE), {
    entered: { frames: 10, segments: 50 },
    outcomes: [
      { verdict: 'forward', frames: 7 },
      { verdict: 'no-peer', frames: 3 },
    ],
    queued: 0,
    residue: { frames: 0, segments: 0 },
  });
});

t.test('egress with a full queue, drops and waiting frames apart, segments not compared', async t => {
  const after = { ...zero, frames: 5000, segments: 5000, judged: { forward: 1000 }, judgedSegments: 1000 };
  t.match(egressBalance(zero, { ...after, dropped: 3000, read: 1000 }, QUEUE), {
    outcomes: [{ verdict: 'device-queue-full', frames: 3000 }, { verdict: 'forward' }],
    queued: 1000,
    residue: { frames: 0, segments: null },
  });
});

t.test('egress with more frames missing than the queue holds, the rest is residue', async t => {
  const after = { ...zero, frames: 5000, segments: 5000, judged: { forward: 1000 }, read: 1000 };
  t.match(egressBalance(zero, after, QUEUE), { queued: 1000, residue: { frames: 3000 } });
});

t.test('egress with frames that were read and not judged, they are residue', async t => {
  const after = {
    ...zero,
    frames: 100,
    segments: 100,
    judged: { forward: 90 },
    judgedSegments: 90,
    read: 100,
  };
  t.match(egressBalance(zero, after, QUEUE), { queued: 0, residue: { frames: 10, segments: 10 } });
});

t.test('egress with a queue that shrank, waiting is negative and the residue zero', async t => {
  const after = { ...zero, judged: { forward: 40 }, judgedSegments: 40, read: 40 };
  t.match(egressBalance(zero, after, QUEUE), { queued: -40, residue: { frames: 0 } });
});

const door = { ...zero, droppedAs: 'socket-dropped' };

t.test('ingress without drops, datagrams compared with verdicts and packets with messages', async t => {
  const after = {
    ...{ ...door, frames: 10, segments: 300, read: 9 },
    judged: { forward: 200, 'wrong-vni': 50 },
  };
  t.match(ingressBalance(door, after), {
    entered: { frames: 10, segments: 300 },
    outcomes: [
      { verdict: 'forward', frames: 200 },
      { verdict: 'wrong-vni', frames: 50 },
    ],
    ...{ read: 9, queued: 0 },
    residue: { frames: 1, segments: 50 },
  });
  const { queued } = ingressBalance(door, { ...after, waitingBytes: 4096 });
  t.equal(queued, null, 'waiting datagrams are not counted');
});

t.test('ingress with coalesced packets dropped at the socket, packets compared, datagrams not', async t => {
  const after = {
    ...{ ...door, frames: 1003, segments: 30_000, read: 390, dropped: 613 },
    judged: { forward: 11_294 },
  };
  t.match(ingressBalance(door, after), {
    outcomes: [
      { verdict: 'forward', frames: 11_294 },
      { verdict: 'socket-dropped', frames: 613 },
    ],
    residue: { frames: 0, segments: null },
  });
});
