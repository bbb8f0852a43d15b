import t from 'tap';
import { Arrivals } from '../../../src/measure/figures/arrivals.ts';
import { type Random, seeded } from '../../fixtures/random.ts';

interface Arrival {
  readonly flow: number;
  readonly sequence: number;
  readonly sent: number;
  readonly arrived: number;
}

/** RFC 4737 section 3.3 and RFC 3550 section 6.4.1 by sets and objects. */
function reference(arrivals: readonly Arrival[]) {
  const flows = new Map<
    number,
    { seen: Set<number>; next: number; jitter: number; transit?: number; packets: number }
  >();
  let duplicates = 0;
  let reordered = 0;
  let reorderDistance = 0;
  for (const { flow, sequence, sent, arrived } of arrivals) {
    const state = flows.get(flow) ?? { seen: new Set<number>(), next: 0, jitter: 0, packets: 0 };
    flows.set(flow, state);
    if (state.seen.has(sequence)) {
      duplicates++;
      continue;
    }
    state.seen.add(sequence);
    state.packets++;
    if (sequence >= state.next) state.next = sequence + 1;
    else {
      reordered++;
      reorderDistance = Math.max(reorderDistance, state.next - sequence);
    }
    const transit = arrived - sent;
    if (state.transit !== undefined) state.jitter += (Math.abs(transit - state.transit) - state.jitter) / 16;
    state.transit = transit;
  }
  const all = [...flows.values()];
  const packets = all.reduce((sum, state) => sum + state.packets, 0);
  return {
    ...{ packets, duplicates, reordered, reorderDistance },
    jitterNs: packets === 0 ? 0 : all.reduce((sum, state) => sum + state.jitter * state.packets, 0) / packets,
  };
}

/** A stream whose packets are lost, repeated and held back. */
function disturbed(random: Random, flows: number, packets: number): Arrival[] {
  const list: (Arrival & { place: number })[] = [];
  const next = new Array<number>(flows).fill(0);
  for (let i = 0; i < packets; i++) {
    const flow = random.below(flows);
    const sequence = next[flow]!++;
    const fate = random.below(100);
    if (fate < 5) continue;
    const sent = i * 1000;
    const held = fate < 15 ? random.below(60) : 0;
    const arrived = sent + 5000 + random.below(3000);
    list.push({ flow, sequence, sent, arrived, place: i + held });
    for (let copies = fate < 92 ? 0 : random.below(3); copies > 0; copies--)
      list.push({
        flow,
        sequence,
        sent,
        arrived: arrived + random.below(9000),
        place: i + held + random.below(40),
      });
  }
  return list.toSorted((a, b) => a.place - b.place);
}

t.test('order, duplicates and jitter, compared with a slow reference, are the same', async t => {
  const random = seeded(t);
  for (const flows of [1, 2, 7, 256]) {
    const stream = disturbed(random, flows, 20_000);
    // A window that the stream goes round several times, and still larger than any distance.
    const arrivals = new Arrivals(flows, 1024 * flows);
    for (const { flow, sequence, sent, arrived } of stream) arrivals.add(flow, sequence, 100, sent, arrived);
    const { packets, duplicates, reordered, reorderDistance, jitterNs, bytes, beyondWindow } =
      arrivals.figures();
    const wanted = reference(stream);
    const { jitterNs: jitter, ...counts } = wanted;
    t.same({ packets, duplicates, reordered, reorderDistance }, counts, `${flows} flows`);
    t.ok(Math.abs(jitterNs - jitter) <= 1e-9 * jitter, `jitter ${jitterNs} of ${jitter}`);
    t.equal(bytes, packets * 100);
    t.equal(beyondWindow, 0);
    t.ok(duplicates > 100 && reordered > 100, 'the stream was disturbed');
  }
});

t.test('the example of RFC 4737: reordered are those behind a later one, and no other', async t => {
  const arrivals = new Arrivals(1);
  // Section 4.3.1 has 1, 2, 3, 7, 8, 9, 4, 5, 6.
  for (const sequence of [1, 2, 3, 7, 8, 9, 4, 5, 6]) arrivals.add(0, sequence, 46, 0, 0);
  const { reordered, reorderDistance, packets } = arrivals.figures();
  t.same({ packets, reordered, reorderDistance }, { packets: 9, reordered: 3, reorderDistance: 6 });
});

t.test('what is behind by more than the window counts as reordered, and is said', async t => {
  const arrivals = new Arrivals(1, 64);
  for (const sequence of [0, 1, 100, 100, 37, 37, 36, 36, 1]) arrivals.add(0, sequence, 46, 0, 0);
  const { packets, duplicates, reordered, beyondWindow } = arrivals.figures();
  t.same(
    { packets, duplicates, reordered, beyondWindow },
    { packets: 7, duplicates: 2, reordered: 4, beyondWindow: 3 },
  );
});

t.test('sequence numbers up to the last one, and flows that the stream does not have', async t => {
  const arrivals = new Arrivals(2);
  for (const sequence of [2 ** 32 - 3, 2 ** 32 - 1, 2 ** 32 - 2, 2 ** 32 - 1])
    arrivals.add(1, sequence, 46, 0, 0);
  arrivals.add(2, 0, 46, 0, 0);
  const { packets, duplicates, reordered } = arrivals.figures();
  t.same({ packets, duplicates, reordered }, { packets: 3, duplicates: 1, reordered: 1 });
});

t.test('latency is less the offset of the clocks; below zero it counts as zero, and is counted', async t => {
  const arrivals = new Arrivals(1);
  arrivals.offsetNs = 1_000_000;
  for (const [sequence, transit] of [1_000_100, 1_000_050, 999_999].entries())
    arrivals.add(0, sequence, 46, 5, 5 + transit);
  const { latency, negative } = arrivals.figures();
  t.equal(negative, 1);
  t.same([latency.min, latency.max, latency.sum], [0, 100, 150]);
});
