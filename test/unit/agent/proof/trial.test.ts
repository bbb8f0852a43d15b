import t from 'tap';
import { describeShape, shapesFor, type TrainShape } from '../../../../src/agent/proof/shapes.ts';
import { ProofTrial, ShapeTrial, type TrainArrivals } from '../../../../src/agent/proof/trial.ts';
import { Random } from '../../../fixtures/random.ts';

const VXLAN = { packet: 1450, overhead: 22, message: 65_507 };

t.test('the shapes of traffic, each within one message', async t => {
  t.same(
    shapesFor(VXLAN).map(shape => describeShape(shape, 22)),
    [
      '2 x 1472 bytes',
      '1 x 1472 + 747 bytes',
      '9 x 1472 bytes',
      '8 x 1472 + 747 bytes',
      '44 x 1472 bytes',
      '43 x 1472 + 747 bytes',
      '45 x 150 bytes',
    ],
  );
  for (const packet of [576, 1280, 1400, 8950, 32_000, 65_000])
    for (const message of [65_507, 65_487])
      for (const { segments, bytes, tail } of shapesFor({ packet, overhead: 22, message })) {
        t.ok(segments >= 2 && segments <= 45 && tail <= bytes);
        t.ok((segments - 1) * (bytes + 22) + tail + 22 <= message, `${segments} of ${bytes}`);
      }
  t.equal(shapesFor({ ...VXLAN, packet: 65_000 }).length, 1, 'two such packets fit no message');
});

const NINE: TrainShape = { segments: 9, bytes: 1450, tail: 1450 };
const ALL = (1n << 9n) - 1n;

/** The outcome after answers, and how many it took. */
function judge(answers: Iterable<TrainArrivals>): [string | undefined, number, number] {
  const trial = new ShapeTrial(NINE);
  let count = 0;
  for (const answer of answers) {
    trial.note(answer);
    count++;
    if (trial.outcome) break;
  }
  return [trial.outcome, count, trial.brokenPlaces];
}
const always = (answer: TrainArrivals) => Array<TrainArrivals>(20).fill(answer);

t.test('a place that never arrives in a train and always alone is broken', async t => {
  t.same(judge(always({ train: ALL, alone: ALL })).slice(0, 2), ['intact', 1]);
  t.same(judge(always({ train: ALL, alone: 0n })).slice(0, 2), ['intact', 1], 'whatever arrives alone');
  t.same(judge(always({ train: 0n, alone: ALL })), ['broken', 4, 9]);
  t.same(judge(always({ train: 1n << 8n, alone: ALL })), ['broken', 4, 8], 'only the last one arrives');
  t.same(judge(always({ train: ALL ^ 1n, alone: ALL })), ['broken', 4, 1], 'the first one does not');
  t.equal(judge(always({ train: 0n, alone: 0n }))[0], 'undecided', 'a path that is down');
  t.equal(
    judge(always({ train: ALL ^ 1n, alone: ALL ^ 1n }))[0],
    'undecided',
    'a datagram that never passes',
  );
  const turns = [ALL ^ 1n, ALL ^ 2n].map(train => ({ train, alone: ALL }));
  t.same(judge(turns).slice(0, 2), ['intact', 2], 'each place arrived once');
  t.equal(judge(always({ train: ALL | (1n << 60n), alone: ALL }))[0], 'intact', 'places that no train has');
});

t.test('ordinary loss is not taken for a broken offload', async t => {
  const random = new Random(153);
  for (const loss of [0.001, 0.01, 0.05]) {
    const outcomes = { intact: 0, broken: 0, undecided: 0 };
    for (let run = 0; run < 2000; run++) {
      const trial = new ShapeTrial({ segments: 45, bytes: 1450, tail: 1450 });
      const arrive = () => {
        let set = 0n;
        for (let place = 0n; place < 45n; place++)
          if (random.below(1_000_000) >= loss * 1e6) set |= 1n << place;
        return set;
      };
      while (!trial.outcome) trial.note({ train: arrive(), alone: arrive() });
      outcomes[trial.outcome]++;
    }
    t.ok(outcomes.broken <= 2, `${loss}: ${JSON.stringify(outcomes)}`);
    t.ok(outcomes.intact >= 1990, 'and the trial ends');
  }
});

t.test('a trial tries each shape, and ends with the first broken one', async t => {
  const shapes = shapesFor(VXLAN);
  const run = (answer: (shape: TrainShape, turn: number) => TrainArrivals | undefined) => {
    const trial = new ProofTrial(shapes);
    let turn = 0;
    for (let { shape } = trial; shape; { shape } = trial) {
      const arrivals = answer(shape, turn++);
      if (arrivals) trial.answered(arrivals);
      else trial.unanswered();
    }
    return { trial, turn };
  };
  const full = ({ segments }: TrainShape) => (1n << BigInt(segments)) - 1n;
  const well = run(shape => ({ train: full(shape), alone: full(shape) }));
  t.same([well.trial.outcome, well.turn, well.trial.broken], ['intact', 7, undefined]);
  // Linux 7.0: equal trains, all but the last datagram.
  const equal = run(shape => ({
    train: shape.tail === shape.bytes ? 1n << BigInt(shape.segments - 1) : full(shape),
    alone: full(shape),
  }));
  t.same([equal.trial.outcome, equal.turn], ['broken', 4]);
  t.same(equal.trial.broken, { shape: shapes[0], places: 1 });
  const long = run(shape => ({ train: shape.segments > 40 ? 0n : full(shape), alone: full(shape) }));
  t.same(long.trial.broken, { shape: shapes[4], places: 44 });
  t.same([run(() => undefined).trial.outcome, run(() => undefined).turn], ['unanswered', 2]);
  const once = run((shape, turn) =>
    turn % 2 === 0 ? undefined : { train: full(shape), alone: full(shape) },
  );
  t.equal(once.trial.outcome, 'intact', 'a single silence is not the end');
  t.equal(run(() => ({ train: 0n, alone: 0n })).trial.outcome, 'undecided');
  once.trial.answered({ train: 0n, alone: 0n });
  once.trial.unanswered();
  t.equal(once.trial.outcome, 'intact', 'what comes after the end changes nothing');
});
