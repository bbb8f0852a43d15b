import { execFileSync } from 'node:child_process';
import t from 'tap';
import { formatBudget } from '../../../../src/cli/commands/timing/latency-run.ts';
import { budgetOf, type EchoTimes, placed } from '../../../../src/diagnose/latency/budget.ts';
import {
  echoFilter,
  echoMessage,
  echoSequence,
  innerOffset,
} from '../../../../src/diagnose/latency/echo-packets.ts';
import { skipUnless } from '../../../fixtures/skip-unless.ts';

const whole: EchoTimes = {
  ...{
    sent: 100,
    read: 101,
    decided: 103,
    left: 106,
    returned: 126,
    received: 131,
    accepted: 137,
    arrived: 144,
  },
  underlay: 12,
};
const spans = {
  ...{ 'device-queue': 1, batch: 2, send: 3, underlay: 12, peer: 8 },
  ...{ receive: 5, 'ingress-batch': 6, write: 7 },
};

t.test('the stages of a round trip are the times between its places', async t => {
  t.same(placed(whole), spans);
  t.match(placed({ ...whole, underlay: 25 }), { underlay: 20, peer: 0 }, 'not more than the time away');
  t.match(placed({ ...whole, arrived: 136.9 }), { write: 0 }, 'clocks that are read one after the other');
  const { left: _, ...unseen } = whole;
  t.equal(placed(unseen), undefined);
});

t.test(
  'the stage with most time is the guilty one; lost echoes and unplaced ones are counted apart',
  async t => {
    const { left: _, ...unseen } = whole;
    const slow = {
      ...whole,
      read: 201,
      decided: 203,
      left: 206,
      returned: 226,
      received: 231,
      accepted: 237,
      arrived: 244,
    };
    const budget = budgetOf([whole, whole, slow, unseen, { sent: 7 }]);
    t.match(budget, { sent: 5, answered: 4, unplaced: 1, guilty: 'device-queue' });
    t.match(budget.roundTrip, { p50Ms: 44, maxMs: 144 });
    t.match(budget.stages[0], { stage: 'device-queue', p50Ms: 1, maxMs: 101, share: 103 / 232 });
    t.same(budgetOf([{ sent: 1 }]), {
      ...{ sent: 1, answered: 0, roundTrip: null, unplaced: 0, stages: [], guilty: null },
    });
  },
);

t.test('the table fits a terminal and ends with the guilty stage', async t => {
  const about = { peer: 'worker-2', address: 'fd31::2', tunnelAddress: '10.244.2.0', device: 'flannel.1' };
  const text = formatBudget({ ...about, ...budgetOf([whole]) });
  t.match(text, /most of the time: underlay \(27\.3 %\): the network between the nodes/);
  for (const line of text.split('\n').slice(0, -2)) t.ok(line.length <= 80, line);
  t.match(formatBudget({ ...about, ...budgetOf([{ sent: 1 }]) }), /0 of 1 echoes answered\nno answer: /);
});

t.test('an echo is recognised by type, identifier and length', async t => {
  for (const family of [4, 6] as const) {
    const front = family === 4 ? 20 : 40;
    const packet = new Uint8Array([...new Uint8Array(front), ...echoMessage(family, 0x1234, 7)]);
    t.equal(echoSequence(packet, 0, family, 0x1234, 'request'), 7);
    t.equal(echoSequence(packet, 0, family, 0x1235, 'request'), undefined);
    t.equal(echoSequence(packet, 0, family, 0x1234, 'reply'), undefined);
    t.equal(echoSequence(packet.subarray(0, front + 7), 0, family, 0x1234, 'request'), undefined);
  }
});

t.test("the filter is that of libpcap's compiler", { skip: skipUnless('tcpdump') }, async t => {
  const offset = innerOffset(4, 8 + 14);
  t.equal(offset, 14 + 20 + 8 + 8 + 14);
  const text = execFileSync(
    'tcpdump',
    ['-y', 'EN10MB', '-s', `${offset + 28}`, '-ddd', `ether[${offset + 24}:2] == 0x1234`],
    {
      encoding: 'utf8',
    },
  );
  const [, ...lines] = text
    .trim()
    .split('\n')
    .map(line => line.split(' ').map(Number));
  const program = Buffer.from(echoFilter(offset, 4, 0x1234));
  const ours = Array.from({ length: program.length / 8 }, (_, at) => [
    ...[
      program.readUInt16LE(at * 8),
      program[at * 8 + 2],
      program[at * 8 + 3],
      program.readUInt32LE(at * 8 + 4),
    ],
  ]);
  t.same(ours, lines);
});
