import t from 'tap';
import {
  createStats,
  STAT_CALLS,
  STAT_MERGED,
  STAT_UNITS,
} from '../../../../src/dataplane/descriptor/stats.ts';
import { forwardEgressBatch, forwardIngressBatch } from '../../../../src/dataplane/fast-path/forwarder.ts';
import type { DatagramPort, FrameDevice } from '../../../../src/dataplane/io/interfaces.ts';
import {
  type TimedForward,
  timedEgress,
  timedIngress,
  timedWait,
} from '../../../../src/dataplane/timing/stage-clock.ts';
import { StageTiming } from '../../../../src/dataplane/timing/stage-timing.ts';
import * as stages from '../../../../src/dataplane/timing/stages.ts';
import { loopbackForwarders } from '../../../fixtures/io/loopback-forwarder.ts';
import { makePacket } from '../../../golden/packets.ts';

/*
 * The real forwarders with a clock that only the doubles of device, port and slow path move: what a stage took is known, and
 * must be what is measured.
 */

const TOOK = { wait: 1000, read: 30, write: 500, send: 700, slow: 90 };

function timedForwarders(frames: Uint8Array[]) {
  let now = 5;
  const clock = () => now;
  const taking = <R>(nanoseconds: number, result: R): R => {
    now += nanoseconds;
    return result;
  };
  const deviceOf = (device: FrameDevice): FrameDevice => ({
    readBatch: batch => taking(TOOK.read, device.readBatch(batch)),
    writeBatch: (batch, count) => taking(TOOK.write, device.writeBatch(batch, count)),
  });
  const portOf = (port: DatagramPort): DatagramPort => ({
    sources: port.sources,
    sendBatch: (batch, count, peers) => taking(TOOK.send, port.sendBatch(batch, count, peers)),
    receiveBatch: batch => taking(TOOK.read, port.receiveBatch(batch)),
  });
  const loopback = loopbackForwarders(frames.map(bytes => ({ bytes })));
  const egress = { ...loopback.egress };
  const { slowPath } = egress;
  const slow = {
    handle: (...words: Parameters<typeof slowPath.handle>) => taking(TOOK.slow, slowPath.handle(...words)),
    reportSendErrors: () => {},
  };
  const stats = createStats();
  stats[STAT_CALLS] = 3;
  stats[STAT_UNITS] = 4;
  stats[STAT_MERGED] = 2;
  const timing = new StageTiming(2);
  const place = (index: number) => ({ memory: timing.memory, index });
  const ingress = {
    ...loopback.ingress,
    device: deviceOf(loopback.ingress.device),
    port: portOf(loopback.ingress.port),
  };
  const observed = { ...egress, device: deviceOf(egress.device), port: portOf(egress.port), slowPath: slow };
  const sending = timedEgress(observed, forwardEgressBatch, stats, place(0), clock);
  const delivering = timedIngress(ingress, forwardIngressBatch, stats, place(1), clock);
  const waiting = (directions: TimedForward[]) =>
    timedWait(timing.memory, directions, () => taking(TOOK.wait, 3), clock);
  const [waitToSend, waitToDeliver] = [waiting([sending]), waiting([delivering])];
  return {
    timing,
    egress: observed,
    // A thread per direction sleeps before each batch.
    send: () => {
      waitToSend();
      return sending.forward();
    },
    deliver: () => {
      waitToDeliver();
      return delivering.forward();
    },
    both: { sending, delivering, wait: waiting([sending, delivering]) },
    passTime: (nanoseconds: number) => taking(nanoseconds, undefined),
  };
}

const known = makePacket({ family: 4, protocol: 17, payload: new Uint8Array(100) }).bytes;
const unknown = makePacket({ family: 4, protocol: 17, payload: new Uint8Array(100) }).bytes;
unknown[0] = 0x06; // no peer has this MAC

const blockOf = ({ memory }: StageTiming, worker: number) => [...stages.stageBlock(memory, worker)];

t.test('nothing is written while timing is off', async t => {
  const { timing, send, deliver } = timedForwarders([known]);
  t.equal(send(), 1);
  t.equal(deliver(), 1);
  for (const worker of [0, 1]) t.ok(blockOf(timing, worker).every(word => word === 0));
});

t.test('each stage has the time that it took, and the wait is in none', async t => {
  const { timing, send, deliver } = timedForwarders([known, unknown]);
  stages.stageFlag(timing.memory)[0] = 1;
  t.equal(send(), 2);
  const egress = stages.stageBlock(timing.memory, 0);
  t.strictSame([...egress].slice(0, 11), [
    ...[5 + TOOK.wait + TOOK.read + TOOK.slow + TOOK.send, 1, 2, 6, 3],
    ...[TOOK.wait, TOOK.read, 0, TOOK.slow, TOOK.send, 0],
  ]);
  t.equal(deliver(), 1);
  const ingress = stages.stageBlock(timing.memory, 1);
  t.strictSame([...ingress].slice(1, 11), [1, 1, 6, 3, TOOK.wait, TOOK.read, 0, 0, TOOK.write, 0]);
});

t.test('time between two batches is in no stage; a wait without frames counts as sleep', async t => {
  const { timing, send, passTime } = timedForwarders([known]);
  stages.stageFlag(timing.memory)[0] = 1;
  send();
  passTime(12345);
  t.equal(send(), 0, 'no frame is left');
  const block = stages.stageBlock(timing.memory, 0);
  t.equal(block[stages.ASLEEP], 2 * TOOK.wait);
  t.equal(block[stages.BATCHES], 1);
  const sum = [...block].slice(stages.STAGES, stages.STAGES + 5).reduce((a, b) => a + b, 0);
  t.equal(sum, 2 * TOOK.read + TOOK.send);
  t.equal(block[stages.AT], 5 + 12345 + 2 * (TOOK.wait + TOOK.read) + TOOK.send);
});

t.test('a thread of both directions sleeps for each, and what one takes is not in the other', async t => {
  const { timing, both } = timedForwarders([known]);
  stages.stageFlag(timing.memory)[0] = 1;
  t.equal(both.wait(), 3, 'the result of the wait');
  t.equal(both.sending.forward(), 1);
  t.equal(both.delivering.forward(), 1);
  t.equal(both.wait(), 3);
  const [egress, ingress] = [0, 1].map(index => stages.stageBlock(timing.memory, index));
  for (const block of [egress, ingress]) {
    t.equal(block![stages.ASLEEP], 2 * TOOK.wait);
    t.equal(block![stages.AT], 5 + 2 * (TOOK.wait + TOOK.read) + TOOK.send + TOOK.write);
  }
  t.equal(egress![stages.SEND], TOOK.send);
  t.equal(ingress![stages.SEND], TOOK.write);
});

t.test('tables and counters that are replaced are used by timed batches as well', async t => {
  const { timing, egress, send } = timedForwarders([known]);
  stages.stageFlag(timing.memory)[0] = 1;
  const counters = new Float64Array(egress.counters.length);
  egress.counters = counters;
  t.equal(send(), 1);
  t.ok(counters.some(count => count > 0));
});

t.test('a measurement is the difference of two readings, and timing is off afterwards', async t => {
  const { timing, send, deliver } = timedForwarders(Array.from({ length: 4 }, () => known));
  let batches = 0;
  const wake = (worker: number) => {
    if (worker === 0) batches += Math.sign(send());
    else deliver();
  };
  send();
  const [egress, ingress] = await timing.measure(1, wake);
  t.equal(stages.stageFlag(timing.memory)[0], 0);
  t.equal(egress!.batches, 0, 'the batch of the first reading is not in it');
  t.equal(egress!.asleep, TOOK.wait);
  t.equal(egress!.stages.read, TOOK.read);
  // One clock serves both: the batch of the other worker came in between.
  t.equal(egress!.nanoseconds, 2 * (TOOK.wait + TOOK.read) + TOOK.write);
  t.ok(ingress!.nanoseconds > 0);
  t.equal(batches, 0);
});

t.test('a worker that does not move has no time', async t => {
  const timing = new StageTiming(1);
  const [still] = await timing.measure(1, () => {});
  t.match(still, { nanoseconds: 0, batches: 0, stages: { read: 0, send: 0 } });
});
