import t from 'tap';
import * as measure from '../../../encap/wire/measure.ts';
import { mappedBytesOf, requireAddress } from '../../../src/ip/address.ts';
import {
  PAYLOAD_ADDRESS,
  PAYLOAD_LENGTH,
  PAYLOAD_NANOSECONDS,
  PAYLOAD_OFFSET,
  PAYLOAD_PACKET,
  PAYLOAD_SECONDS,
  PAYLOAD_STRIDE,
} from '../../../src/measure/receive/payloads.ts';
import { askedTable } from '../../../src/measure/sink/answers.ts';
import { StreamCounts } from '../../../src/measure/sink/streams.ts';
import { seeded } from '../../fixtures/random.ts';

const words = (address: string) => new Int32Array(mappedBytesOf(requireAddress(address)).slice().buffer);
const KEY = measure.keyOf(2, 0xabcdef);
const ORIGIN = 1_700_000_000;

interface Sent {
  readonly key: number;
  readonly flag: number;
  readonly sequence: number;
  readonly from: string;
}

/** A batch of payloads, each with a header, which arrive 5 ms after they were sent. */
function batchOf(sent: readonly Sent[]) {
  const view = new DataView(new ArrayBuffer(sent.length * 32));
  const payloads = new Int32Array(sent.length * PAYLOAD_STRIDE);
  for (const [at, { key, flag, sequence, from }] of sent.entries()) {
    measure.emit(view, at * 32, key);
    measure.stamp(view, at * 32, flag, 0, sequence, 1e9);
    const record = at * PAYLOAD_STRIDE;
    payloads[record + PAYLOAD_OFFSET] = at * 32;
    payloads[record + PAYLOAD_LENGTH] = 18;
    payloads[record + PAYLOAD_PACKET] = 46;
    payloads[record + PAYLOAD_SECONDS] = ORIGIN + 1;
    payloads[record + PAYLOAD_NANOSECONDS] = 5e6;
    payloads.set(words(from), record + PAYLOAD_ADDRESS);
  }
  return { view, payloads, count: sent.length };
}

function streams(): StreamCounts {
  const made = new StreamCounts();
  made.open({ key: KEY, flows: 1, originSeconds: ORIGIN, address: words('10.0.0.1') });
  return made;
}

t.test('a sink counts what it invited, and takes no notice of anything else', async t => {
  const counted = streams();
  const asked = askedTable();
  const from = '10.0.0.1';
  const sent = [
    { key: KEY, flag: 0, sequence: 0, from },
    { key: KEY + 1, flag: 0, sequence: 1, from },
    { key: measure.keyOf(3, 0xabcdef), flag: 0, sequence: 1, from },
    { key: KEY, flag: measure.FLAG_PROBE, sequence: 7, from },
    { key: KEY, flag: measure.FLAG_ANSWER, sequence: 8, from },
    { key: KEY, flag: 0, sequence: 1, from: '192.0.2.9' },
  ];
  const { view, payloads, count } = batchOf(sent);
  counted.count(view, payloads, count, asked);
  const figures = counted.arrivals(KEY)?.figures();
  t.same([figures?.packets, figures?.bytes, figures?.reordered], [2, 92, 0]);
  t.same([figures?.latency.min, figures?.latency.max], [5e6, 5e6]);
  counted.close(KEY);
  counted.count(view, payloads, count, asked);
  t.equal(counted.arrivals(KEY), undefined);
});

t.test('answers go only to the address that asked for the stream', async t => {
  const asked = askedTable();
  const flag = measure.FLAG_ASK;
  const { view, payloads, count } = batchOf([
    { key: KEY, flag, sequence: 0, from: '10.0.0.1' },
    { key: KEY, flag, sequence: 1, from: '10.0.0.2' },
    { key: KEY + 1, flag, sequence: 2, from: '10.0.0.1' },
    { key: KEY, flag: flag | measure.FLAG_PROBE, sequence: 3, from: '10.0.0.1' },
  ]);
  streams().count(view, payloads, count, asked);
  t.same([...asked.records.subarray(0, asked.count)], [0, 3 * PAYLOAD_STRIDE]);
  t.equal(asked.arrived[0], 1e9 + 5e6);
});

t.test('any bytes are either counted or ignored', async t => {
  const random = seeded(t);
  const counted = streams();
  const asked = askedTable();
  const { view, payloads, count } = batchOf(
    Array.from({ length: 64 }, (_, sequence) => ({
      key: KEY,
      flag: measure.FLAG_ASK,
      sequence,
      from: '10.0.0.1',
    })),
  );
  for (let round = 0; round < 3000; round++) {
    view.setUint8(random.below(view.byteLength), random.below(256));
    payloads[random.below(64) * PAYLOAD_STRIDE + PAYLOAD_LENGTH] = random.below(40);
    counted.count(view, payloads, count, asked);
    t.ok(asked.count <= asked.records.length);
  }
});
