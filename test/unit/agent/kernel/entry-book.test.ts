import t from 'tap';
import { describeChange } from '../../../../src/agent/kernel/change.ts';
import type { OverlaySpec } from '../../../../src/agent/kernel/desired.ts';
import { EntryBook } from '../../../../src/agent/kernel/entry-book.ts';
import { requirePrefix } from '../../../../src/ip/prefix.ts';
import type { NetEvent } from '../../../../src/net/rtnetlink/events.ts';

const OVERLAY: OverlaySpec = {
  mode: 'vxlan',
  device: 'flannel.1',
  mtu: 1450,
  mac: '02:00:00:00:00:01',
  txQueueLength: 1000,
  subnets: ['10.244.1.0/24'],
  networks: ['10.244.0.0/16'],
  underlay: 'eth0',
};
const SCOPE = { device: 'flannel.1', networks: ['10.244.0.0/16'] };
const INDEX = 7;
const peer = (n: number, more = {}) => ({
  id: `n${n}`,
  address: `192.0.2.${n}`,
  mac: `02:00:00:00:00:0${n}`,
  subnets: [requirePrefix(`10.244.${n}.0/24`)],
  ...more,
});
const said = (steps: ReturnType<EntryBook['change']>) => steps.map(describeChange);

t.test('a change of peers gives the changes of their entries, removals first', async t => {
  const book = new EntryBook(OVERLAY, [peer(2), peer(3)]);
  t.same(said(book.change({ set: [peer(4)], removed: ['n2'] })), [
    '- neighbour 10.244.2.0 lladdr 02:00:00:00:00:02 dev flannel.1',
    '- route 10.244.2.0/24 via 10.244.2.0 dev flannel.1 onlink',
    '+ neighbour 10.244.4.0 lladdr 02:00:00:00:00:04 dev flannel.1 permanent',
    '+ route 10.244.4.0/24 via 10.244.4.0 dev flannel.1 onlink',
  ]);
  t.same(said(book.change({ set: [peer(3, { mac: '02:00:00:00:00:33' })], removed: [] })), [
    '+ neighbour 10.244.3.0 lladdr 02:00:00:00:00:33 dev flannel.1 permanent',
  ]);
  t.same(
    book.change({ set: [peer(3, { mac: '02:00:00:00:00:33' })], removed: ['unknown'] }),
    [],
    'the same again',
  );
  t.same(said(book.change({ set: [peer(4, { direct: true })], removed: [] })), [
    '- neighbour 10.244.4.0 lladdr 02:00:00:00:00:04 dev flannel.1',
    '- route 10.244.4.0/24 via 10.244.4.0 dev flannel.1 onlink',
    '+ route 10.244.4.0/24 via 192.0.2.4',
  ]);
});

t.test(
  'an entry of two peers is that of the first peer, and of the second when the first is gone',
  async t => {
    const book = new EntryBook(OVERLAY, [peer(2)]);
    const around = peer(5, { subnets: [requirePrefix('10.244.2.0/23')] });
    t.same(said(book.change({ set: [around], removed: [] })), [
      '+ route 10.244.2.0/23 via 10.244.2.0 dev flannel.1 onlink',
    ]);
    t.equal(book.entries.neighbours.length, 1);
    t.same(said(book.change({ set: [], removed: ['n2'] })), [
      '- route 10.244.2.0/24 via 10.244.2.0 dev flannel.1 onlink',
      '+ neighbour 10.244.2.0 lladdr 02:00:00:00:00:05 dev flannel.1 permanent',
    ]);
  },
);

t.test('events about desired entries do not contradict the book, foreign changes do', async t => {
  const book = new EntryBook(OVERLAY, [peer(2)]);
  const neighbour = (more: object, gone = false): NetEvent => ({
    kind: 'neighbour',
    gone,
    neighbour: {
      family: 4,
      link: INDEX,
      address: '10.244.2.0',
      mac: '02:00:00:00:00:02',
      state: 0x80,
      permanent: true,
      ...more,
    },
  });
  const contradicts = (event: NetEvent) => book.contradicts(event, SCOPE, INDEX);
  t.notOk(contradicts(neighbour({})));
  t.ok(contradicts(neighbour({}, true)), 'taken away');
  t.ok(contradicts(neighbour({ mac: '02:00:00:00:00:99' })), 'another MAC');
  t.ok(contradicts(neighbour({ permanent: false })), 'no longer permanent');
  t.ok(contradicts(neighbour({ address: '10.244.9.0' })), 'a permanent entry of no peer');
  t.notOk(contradicts(neighbour({ address: '10.244.9.0', permanent: false })), 'one that was learnt');
  t.notOk(contradicts(neighbour({ link: 3, mac: '02:00:00:00:00:99' })), 'of another device');
  t.notOk(contradicts(neighbour({ address: '10.244.9.0' }, true)), 'a stale one has gone');
});
