import t from 'tap';
import { PeerProof } from '../../../../src/agent/proof/peer-proof.ts';
import type { TrainShape } from '../../../../src/agent/proof/shapes.ts';
import { requirePrefix } from '../../../../src/ip/prefix.ts';

const LIMITS = { packet: 1450, overhead: 22, message: 65_507 };
const HOUR = 3_600_000;
const full = ({ segments }: TrainShape) => (1n << BigInt(segments)) - 1n;

/** A proof with a clock, and a far end that answers each question at once. */
function simulated(answer: (shape: TrainShape) => { train: bigint; alone: bigint } | undefined) {
  const peer = { id: 'a', address: '192.0.2.2', subnets: [requirePrefix('10.244.2.0/24')] };
  const proof = new PeerProof(peer, 5000, HOUR);
  const trains = new Map<string, TrainShape>();
  const far = { answer, isBlocked: false, asked: 0 };
  let now = 5000;
  const actions = {
    nonce: () => `${trains.size}`,
    train: (nonce: string, shape: TrainShape) => {
      if (!far.isBlocked) trains.set(nonce, shape);
      return !far.isBlocked;
    },
    ask: (nonce: string) => {
      far.asked++;
      const arrivals = far.answer(trains.get(nonce)!);
      if (arrivals) proof.answered(nonce, arrivals);
    },
  };
  /** Runs one trial. @returns whether the state changed */
  const trial = (): boolean => {
    proof.begin(LIMITS);
    let changed = false;
    for (; proof.isRunning; now += 100) changed = proof.step(now, actions) || changed;
    return changed;
  };
  return { proof, far, trains, trial, now: () => now };
}

t.test('off after a broken train, on after an intact trial', async t => {
  const { proof, far, trial, trains, now } = simulated(shape => ({ train: full(shape), alone: full(shape) }));
  t.match(proof.state, { state: 'untested', since: null, detail: null });
  t.equal(trial(), false, 'intact from the beginning changes nothing');
  t.match(proof.state, { state: 'intact', detail: null });
  t.equal(trains.size, 7, 'one train per shape');
  t.ok(proof.dueAt > now() + HOUR * 0.8 && proof.dueAt < now() + HOUR * 1.2, 'again after the interval');
  far.answer = shape => ({ train: 0n, alone: full(shape) });
  t.equal(trial(), true);
  t.match(proof.state, {
    state: 'broken',
    detail: 'trains of 2 x 1472 bytes: 2 datagrams never arrive, alone all do',
  });
  const { since } = proof.state;
  t.ok(proof.dueAt > now() + HOUR * 0.8, 'tried again after the interval');
  t.equal(trial(), false, 'still broken');
  t.equal(proof.state.since, since);
  far.answer = () => undefined;
  t.equal(trial(), false, 'silence changes nothing');
  t.equal(proof.state.state, 'broken');
  far.answer = shape => ({ train: full(shape), alone: full(shape) });
  t.equal(trial(), true);
  t.match(proof.state, { state: 'intact', detail: null });
});

t.test('a trial without a result is repeated, less and less often', async t => {
  const { proof, far, trial, now } = simulated(() => undefined);
  for (const seconds of [60, 120, 240, 480]) {
    t.equal(trial(), false);
    const wait = (proof.dueAt - now()) / 1000;
    t.ok(wait > seconds * 0.85 && wait < seconds * 1.15, `after about ${seconds} s`);
  }
  t.equal(far.asked, 4 * 2 * 3, 'three questions about each of two attempts');
  for (let run = 0; run < 6; run++) trial();
  t.ok(proof.dueAt - now() < HOUR * 1.2, 'not later than the interval');
  far.isBlocked = true;
  t.equal(trial(), false, 'a socket that takes nothing shows nothing');
  t.equal(proof.state.state, 'untested');
});

t.test('answers without a question are ignored', async t => {
  const { proof } = simulated(() => undefined);
  const asked: string[] = [];
  const actions = { nonce: () => 'n', train: () => true, ask: (nonce: string) => asked.push(nonce) };
  proof.answered('n', { train: 0n, alone: 3n });
  proof.begin(LIMITS);
  proof.step(5000, actions);
  proof.answered('n', { train: 3n, alone: 3n });
  proof.step(5250, actions);
  t.same(asked, ['n'], 'an answer before the question does not count');
  proof.answered('other', { train: 3n, alone: 3n });
  proof.step(5300, actions);
  t.same(asked, ['n'], 'the answer to another nonce neither');
  proof.answered('n', { train: 3n, alone: 3n });
  proof.answered('n', { train: 0n, alone: 3n });
  t.equal(proof.isRunning, true);
});
