import t from 'tap';
import { addAddress } from '../../../src/net/rtnetlink/addresses.ts';
import { EventSocket } from '../../../src/net/rtnetlink/events.ts';
import { changeLink, createLink, deleteLink, getLink } from '../../../src/net/rtnetlink/links.ts';
import { replaceNeighbourRequest } from '../../../src/net/rtnetlink/neighbours.ts';
import { addRoute } from '../../../src/net/rtnetlink/routes.ts';
import { kernelFor } from '../../fixtures/agents/kernel.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

const skip = skipUnless('root', 'netns');

t.test('each kind of change is told', { skip }, async t => {
  const { socket, ns } = kernelFor(t);
  const events = new EventSocket(ns.path, ['link', 'address', 'route', 'neighbour']);
  t.teardown(() => events.close());
  t.same(events.drain(), [], 'nothing yet, and no waiting');
  createLink(socket, { kind: 'veth', name: 'a', up: true, peer: { name: 'b' } });
  const { index } = getLink(socket, 'a');
  changeLink(socket, getLink(socket, 'b').index, { up: true });
  addAddress(socket, { link: index, prefix: '10.1.0.1/24' });
  addRoute(socket, { destination: '10.9.0.0/16', gateway: '10.1.0.2' });
  socket.request(replaceNeighbourRequest({ link: index, address: '10.1.0.2', mac: '02:00:00:00:00:02' }));
  deleteLink(socket, 'a');
  const seen = events.drain();
  const told = (check: (event: (typeof seen)[number]) => boolean) => seen.some(check);
  t.ok(told(x => x.kind === 'link' && !x.gone && x.link.name === 'a' && x.link.up));
  t.ok(told(x => x.kind === 'link' && x.gone && x.link.name === 'a'));
  t.ok(told(x => x.kind === 'address' && !x.gone && x.address.prefix === '10.1.0.1/24'));
  t.ok(told(x => x.kind === 'address' && x.gone && x.address.prefix === '10.1.0.1/24'));
  t.ok(told(x => x.kind === 'route' && !x.gone && x.route.destination === '10.9.0.0/16'));
  t.ok(told(x => x.kind === 'neighbour' && !x.gone && x.neighbour.mac === '02:00:00:00:00:02'));
  t.notOk(told(x => x.kind === 'lost'));
});

t.test('a port that leaves its bridge is not taken for a device that is gone', { skip }, async t => {
  const { socket, ns } = kernelFor(t);
  createLink(socket, { kind: 'bridge', name: 'br' });
  createLink(socket, { kind: 'veth', name: 'a', peer: { name: 'b' } });
  const { index } = getLink(socket, 'a');
  changeLink(socket, index, { master: getLink(socket, 'br').index });
  const events = new EventSocket(ns.path, ['link']);
  t.teardown(() => events.close());
  changeLink(socket, index, { master: 0 });
  const seen = events.drain();
  t.ok(seen.length > 0);
  t.notOk(seen.some(event => event.kind === 'link' && event.gone));
});

t.test('events that the kernel had to drop are told as lost', { skip }, async t => {
  const { socket, ns } = kernelFor(t);
  createLink(socket, { kind: 'veth', name: 'a', peer: { name: 'b' } });
  const { index } = getLink(socket, 'a');
  const events = new EventSocket(ns.path, ['link']);
  t.teardown(() => events.close());
  // The socket keeps 4 MiB, which a few thousand link messages fill.
  for (let i = 0; i < 12_000; i++) changeLink(socket, index, { txQueueLength: 1 + (i % 2) });
  const seen = events.drain();
  t.ok(
    seen.some(event => event.kind === 'lost'),
    `lost after ${seen.length} events`,
  );
  t.same(events.drain(), [], 'told once');
  changeLink(socket, index, { mtu: 1400 });
  t.match(
    events.drain().map(event => event.kind === 'link' && event.link.mtu),
    [1400],
    'and the socket goes on',
  );
});

t.test('a device that is set up has its new queue length before it is up', { skip }, async t => {
  const { socket, ns } = kernelFor(t);
  createLink(socket, { kind: 'veth', name: 'a', peer: { name: 'b' } });
  const events = new EventSocket(ns.path, ['link']);
  t.teardown(() => events.close());
  changeLink(socket, getLink(socket, 'a').index, { txQueueLength: 77, up: true });
  const seen = events.drain().flatMap(x => (x.kind === 'link' && x.link.name === 'a' ? [x.link] : []));
  t.equal(seen.find(({ up }) => up)?.txQueueLength, 77);
});
