import t from 'tap';
import { applyEntries } from '../../../src/agent/kernel/apply.ts';
import type { EntryChange } from '../../../src/agent/kernel/change.ts';
import { FormerState } from '../../../src/agent/kernel/former-state.ts';
import { KernelReconciler } from '../../../src/agent/kernel/reconciler.ts';
import { changeLink, createLink, getLink } from '../../../src/net/rtnetlink/links.ts';
import { addRoute, deleteRoute, listRoutes, TABLE_MAIN } from '../../../src/net/rtnetlink/routes.ts';
import { kernelFor } from '../../fixtures/agents/kernel.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/* Steps on entries of peers, many in one message to the kernel. */

const skip = skipUnless('root', 'netns');
const COUNT = 200;

/** A namespace with a link `a` that is up. */
function wired(owner: Parameters<typeof kernelFor>[0]) {
  const kernel = kernelFor(owner);
  createLink(kernel.socket, { kind: 'veth', name: 'a', up: true, peer: { name: 'b' } });
  changeLink(kernel.socket, getLink(kernel.socket, 'b').index, { up: true });
  return kernel;
}

const subnet = (n: number) => `10.96.${n}.0`;
const neighbour = (n: number): EntryChange => ({
  do: 'set-neighbour',
  device: 'a',
  address: subnet(n),
  mac: `0a:00:00:00:00:${n.toString(16).padStart(2, '0')}`,
});
const route = (n: number, more = {}): EntryChange => ({
  do: 'set-route',
  route: { destination: `${subnet(n)}/24`, gateway: subnet(n), device: 'a', onlink: true, ...more },
  former: undefined,
});
const ours = (socket: Parameters<typeof listRoutes>[0]) =>
  listRoutes(socket, { table: TABLE_MAIN }).filter(({ protocol }) => protocol === 114);

t.test('a refusal in the midst of many steps keeps no other from being made', { skip }, async t => {
  const { socket } = wired(t);
  const bad = [3, 64, 65, 150];
  const steps = Array.from({ length: COUNT }, (_, n) =>
    bad.includes(n) ? route(n, { gateway: '203.0.113.9', device: undefined, onlink: undefined }) : route(n),
  );
  const refusals = applyEntries(socket, [...steps, ...Array.from({ length: COUNT }, (_, n) => neighbour(n))]);
  t.same(
    [...refusals.keys()],
    bad.map(n => steps[n]),
    'each refusal is of its own step',
  );
  t.same([...new Set([...refusals.values()].map(({ code }) => code))], ['ENETUNREACH']);
  t.equal(ours(socket).length, COUNT - bad.length);
  const removals = steps.map((step): EntryChange => {
    if (step.do !== 'set-route') throw new Error('no route');
    return { do: 'delete-route', route: step.route };
  });
  t.equal(applyEntries(socket, removals).size, 0, 'what is not there counts as removed');
  t.equal(ours(socket).length, 0);
});

t.test('route of another program, a change without a previous read: not replaced', { skip }, async t => {
  const { socket, ns } = wired(t);
  const scope = { device: 'a', networks: ['10.96.0.0/16'] };
  const keeper = new KernelReconciler(ns.path, scope, new FormerState());
  t.teardown(() => keeper.close());
  const theirs = { destination: `${subnet(7)}/24`, link: getLink(socket, 'a').index };
  addRoute(socket, theirs);
  let published = 0;
  const publish = () => void published++;
  t.equal(keeper.change([route(6), route(7), route(8)], publish), false, 'a comparison is asked for');
  t.equal(published, 1);
  t.same(
    ours(socket)
      .map(({ destination }) => destination)
      .sort(),
    [`${subnet(6)}/24`, `${subnet(8)}/24`],
  );
  deleteRoute(socket, theirs);
  t.equal(keeper.change([route(7)]), true);
  t.equal(ours(socket).length, 3);
  t.equal(keeper.refusals.size, 0);
});
