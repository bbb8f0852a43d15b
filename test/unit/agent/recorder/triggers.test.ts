import t from 'tap';
import { type Observed, Triggers } from '../../../../src/agent/recorder/triggers.ts';

const LIMITS = { triggerPeerLoss: 1, triggerWorkerLag: 250, triggerTooBig: true, triggerReset: true };

const seen = (fields: Partial<Observed> = {}): Observed => ({
  tooBig: 0,
  lagMs: 1,
  peers: new Map(),
  reset: undefined,
  ...fields,
});
const peer = (lost: number, carried: number) => ({ peers: new Map([['node2', { lost, carried }]]) });

function triggers() {
  let now = 0;
  const all = new Triggers(() => now);
  all.look(seen(), LIMITS);
  return {
    look: (observed: Observed, limits = LIMITS) => all.look(observed, limits).map(({ trigger }) => trigger),
    reasons: (observed: Observed) => all.look(observed, LIMITS).map(({ reason }) => reason),
    pass: (ms: number) => {
      now += ms;
    },
  };
}

t.test('each trigger fires by its own limit, once per minute', async t => {
  const { look, pass } = triggers();
  t.same(look(seen()), []);
  t.same(look(seen({ tooBig: 1 })), ['too-big']);
  t.same(look(seen({ tooBig: 2, lagMs: 251 })), ['worker-lag'], 'too-big is quiet');
  t.same(look(seen({ tooBig: 2, reset: '10.244.1.2:1 to 10.244.2.3:80' })), ['reset']);
  pass(59_999);
  t.same(look(seen({ tooBig: 3, lagMs: 900, reset: 'x' })), []);
  pass(1);
  t.same(look(seen({ tooBig: 4, lagMs: 900, reset: 'x' })), ['worker-lag', 'too-big', 'reset']);
});

t.test('loss of a peer counts from ten frames and above its share', async t => {
  const { look, pass, reasons } = triggers();
  t.same(look(seen(peer(9, 9))), [], 'few frames');
  t.same(look(seen(peer(19, 2009))), [], 'half a percent');
  t.same(reasons(seen(peer(69, 2999))), ['50 frames of peer node2 lost, 4.8 % of its traffic (limit 1 %)']);
  pass(60_000);
  t.same(look(seen(peer(69, 9000))), [], 'nothing new');
  t.same(look(seen({ peers: new Map([['node3', { lost: 20, carried: 0 }]]) })), ['peer-loss'], 'a new peer');
});

t.test('a trigger that is off does not fire', async t => {
  const off = { triggerPeerLoss: 0, triggerWorkerLag: 0, triggerTooBig: false, triggerReset: false };
  const { look } = triggers();
  t.same(look(seen({ ...peer(100, 0), tooBig: 9, lagMs: 9999, reset: 'x' }), off), []);
});

t.test('the first observation is the base of those that follow', async t => {
  t.same(new Triggers().look(seen({ tooBig: 7, ...peer(500, 0) }), LIMITS), []);
});
