import t from 'tap';
import {
  addAddress,
  deleteAddress,
  listAddresses,
  waitForDad,
} from '../../../src/net/rtnetlink/addresses.ts';
import { deleteFdbRequest, listFdb, replaceFdbRequest } from '../../../src/net/rtnetlink/fdb.ts';
import { changeLink, createLink, getLink } from '../../../src/net/rtnetlink/links.ts';
import {
  deleteNeighbourRequest,
  listNeighbours,
  replaceNeighbourRequest,
} from '../../../src/net/rtnetlink/neighbours.ts';
import {
  addRoute,
  appendRoute,
  deleteRoute,
  listRoutes,
  type RouteSpec,
  replaceRoute,
  routeTo,
} from '../../../src/net/rtnetlink/routes.ts';
import { kernelFor } from '../../fixtures/agents/kernel.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

const skip = skipUnless('root', 'netns', 'ip', 'bridge');

/** A namespace with a veth pair `a`, `b`, both up. */
function wired(owner: Parameters<typeof kernelFor>[0]) {
  const kernel = kernelFor(owner);
  createLink(kernel.socket, { kind: 'veth', name: 'a', up: true, peer: { name: 'b' } });
  const a = getLink(kernel.socket, 'a').index;
  changeLink(kernel.socket, getLink(kernel.socket, 'b').index, { up: true });
  return { ...kernel, a };
}

t.test('addresses', { skip }, async t => {
  const { socket, ip, ns, a } = wired(t);
  addAddress(socket, { link: a, prefix: '10.1.0.1/24', broadcast: '10.1.0.255' });
  ns.ip('address add 10.2.0.1 peer 10.2.0.2 dev a');
  addAddress(socket, { link: a, prefix: 'fd00::1/64', noPrefixRoute: true, noDuplicateDetection: true });
  addAddress(socket, { link: a, prefix: 'fd01::1/64' });
  const shown = ip('addr', 'show', 'dev', 'a')[0].addr_info;
  const find = (local: string) => shown.find((address: { local: string }) => address.local === local);
  t.match(find('10.1.0.1'), { prefixlen: 24, broadcast: '10.1.0.255', scope: 'global' });
  t.match(find('fd00::1'), { prefixlen: 64, noprefixroute: true, nodad: true });
  t.equal(ip('-6', 'route', 'show', 'fd00::/64').length, 0, 'no connected route for noPrefixRoute');
  t.equal(ip('-6', 'route', 'show', 'fd01::/64').length, 1);

  const read = listAddresses(socket, { link: a });
  t.match(
    read.find(address => address.address === '10.2.0.1'),
    { prefix: '10.2.0.1/32', family: 4, tentative: false },
    'the local end of a point-to-point address',
  );
  t.match(
    read.find(address => address.address === 'fd00::1'),
    { family: 6, tentative: false },
  );
  t.equal(read.find(address => address.address === 'fd01::1')?.tentative, true);
  await waitForDad(socket, a, 5000, ms => new Promise(resolve => setTimeout(resolve, ms)));
  t.equal(listAddresses(socket, { link: a, family: 6 }).find(x => x.address === 'fd01::1')?.tentative, false);
  t.same(
    listAddresses(socket)
      .map(x => `${x.link} ${x.prefix}`)
      .sort(),
    ip('addr')
      .flatMap(link =>
        link.addr_info.map(
          (x: { local: string; prefixlen: number }) => `${link.ifindex} ${x.local}/${x.prefixlen}`,
        ),
      )
      .sort(),
    'the same as iproute2 lists',
  );

  t.throws(() => addAddress(socket, { link: a, prefix: '10.1.0.1/24' }), { code: 'EEXIST' });
  t.ok(deleteAddress(socket, { link: a, prefix: '10.1.0.1/24' }));
  t.notOk(deleteAddress(socket, { link: a, prefix: '10.1.0.1/24' }), 'deleting again does not fail');
  t.throws(() => addAddress(socket, { link: 9999, prefix: '10.1.0.1/24' }), { code: 'ENODEV' });
  for (const prefix of [
    '10.1.0.1/33',
    '10.1.0/24',
    'x',
    '10.1.0.1/',
    'fd00::1/129',
    '10.1.0.1/2x',
    '1.2.3.4/-1',
  ])
    t.throws(() => addAddress(socket, { link: a, prefix }), { code: 'ECONFIG' }, prefix);
});

t.test('routes', { skip }, async t => {
  const { socket, ip, a } = wired(t);
  addAddress(socket, { link: a, prefix: '10.1.0.1/24' });
  addAddress(socket, { link: a, prefix: 'fd01::1/64', noDuplicateDetection: true });
  // What is made, and what iproute2 shows of it.
  const cases: [RouteSpec, string[], object][] = [
    [{ destination: '10.5.0.0/16', gateway: '10.1.0.9' }, ['10.5.0.0/16'], { gateway: '10.1.0.9', dev: 'a' }],
    [{ destination: '10.6.0.0/16', link: a }, ['10.6.0.0/16'], { dev: 'a', scope: 'link' }],
    [
      { destination: '10.7.0.0/24', gateway: '10.7.0.0', link: a, onlink: true, protocol: 4 },
      ['10.7.0.0/24'],
      { gateway: '10.7.0.0', flags: ['onlink'], protocol: 'static' },
    ],
    [
      {
        destination: '10.8.0.0/16',
        gateway: '10.1.0.2',
        mtu: 1300,
        advmss: 1200,
        metric: 7,
        source: '10.1.0.1',
      },
      ['10.8.0.0/16'],
      { metric: 7, prefsrc: '10.1.0.1', metrics: [{ mtu: 1300, advmss: 1200 }] },
    ],
    [{ destination: '10.9.0.0/16', type: 'blackhole' }, ['10.9.0.0/16'], { type: 'blackhole' }],
    [
      { destination: '0.0.0.0/0', gateway: '10.1.0.3', table: 1000 },
      ['default', 'table', '1000'],
      { gateway: '10.1.0.3', dst: 'default' },
    ],
    [
      { destination: '10.10.0.0/16', hops: [{ gateway: '10.1.0.4', weight: 3 }, { gateway: '10.1.0.5' }] },
      ['10.10.0.0/16'],
      {
        nexthops: [
          { gateway: '10.1.0.4', weight: 3 },
          { gateway: '10.1.0.5', weight: 1 },
        ],
      },
    ],
    [
      { destination: '10.11.0.0/16', gateway: 'fd01::7', link: a },
      ['10.11.0.0/16'],
      { via: { family: 'inet6', host: 'fd01::7' } },
    ],
  ];
  for (const [spec, words, expected] of cases) {
    addRoute(socket, spec);
    t.match(ip('route', 'show', ...words), [expected], spec.destination);
  }
  addRoute(socket, { destination: 'fd05::/64', gateway: 'fd05::', link: a, onlink: true, metric: 50 });
  appendRoute(socket, { destination: 'fd06::/64', gateway: 'fd01::8', link: a });
  appendRoute(socket, { destination: 'fd06::/64', gateway: 'fd01::9', link: a });
  t.match(ip('-6', 'route', 'show', 'fd05::/64'), [{ gateway: 'fd05::', metric: 50, flags: ['onlink'] }]);
  t.match(ip('-6', 'route', 'show', 'fd06::/64'), [
    { nexthops: [{ gateway: 'fd01::8' }, { gateway: 'fd01::9' }] },
  ]);

  const read = listRoutes(socket, { family: 4 });
  const at = (destination: string) => read.find(route => route.destination === destination);
  t.match(at('10.7.0.0/24'), { gateway: '10.7.0.0', link: a, onlink: true, protocol: 4, table: 254 });
  t.match(at('10.8.0.0/16'), { mtu: 1300, advmss: 1200, metric: 7, source: '10.1.0.1' });
  t.match(at('10.9.0.0/16'), { type: 'blackhole' });
  t.match(at('0.0.0.0/0'), { table: 1000 });
  t.match(at('10.10.0.0/16')?.hops, [
    { gateway: '10.1.0.4', weight: 3, link: a },
    { gateway: '10.1.0.5', weight: 1 },
  ]);
  t.match(at('10.11.0.0/16'), { gateway: 'fd01::7' });
  t.ok(listRoutes(socket, { link: a }).some(route => route.destination === '10.10.0.0/16'));
  t.notOk(listRoutes(socket, { table: 254 }).some(route => route.table !== 254));

  t.match(routeTo(socket, '10.5.1.2'), { gateway: '10.1.0.9', link: a, source: '10.1.0.1' });
  t.match(routeTo(socket, 'fd05::99'), { gateway: 'fd05::', link: a });
  t.throws(() => routeTo(socket, '203.0.113.1'), { code: 'ENETUNREACH' });

  replaceRoute(socket, { destination: '10.5.0.0/16', gateway: '10.1.0.10' });
  t.match(ip('route', 'show', '10.5.0.0/16'), [{ gateway: '10.1.0.10' }]);
  t.throws(() => addRoute(socket, { destination: '10.5.0.0/16', gateway: '10.1.0.9' }), {
    code: 'EEXIST',
    message: /add route 10.5.0.0\/16 via 10.1.0.9/,
  });
  t.throws(() => addRoute(socket, { destination: '10.12.0.0/16', gateway: '198.51.100.1' }), {
    code: 'ENETUNREACH',
    kernelText: /invalid gateway/,
  });
  for (const { destination, table } of read.filter(route => route.protocol !== 2))
    t.ok(deleteRoute(socket, { destination, table }), `delete ${destination}`);
  t.notOk(deleteRoute(socket, { destination: '10.5.0.0/16' }), 'deleting again does not fail');
  t.same(ip('-4', 'route', 'show', 'table', 'all', 'proto', 'boot'), []);
});

t.test('neighbours and forwarding entries', { skip }, async t => {
  const { socket, ip, bridge, ns, a } = wired(t);
  socket.request(replaceNeighbourRequest({ link: a, address: '10.1.0.7', mac: '02:00:00:00:00:07' }));
  socket.request(replaceNeighbourRequest({ link: a, address: 'fd00::7', mac: '02:00:00:00:00:08' }));
  ns.ip('neighbour add 10.1.0.8 lladdr 02:00:00:00:00:09 nud stale dev a');
  const shown = ip('neigh', 'show', 'dev', 'a');
  t.match(
    shown.find(x => x.dst === '10.1.0.7'),
    { lladdr: '02:00:00:00:00:07', state: ['PERMANENT'] },
  );
  t.match(
    shown.find(x => x.dst === 'fd00::7'),
    { lladdr: '02:00:00:00:00:08', state: ['PERMANENT'] },
  );
  t.match(
    listNeighbours(socket, { link: a, family: 4 })
      .map(x => [x.address, x.permanent])
      .sort(),
    [
      ['10.1.0.7', true],
      ['10.1.0.8', false],
    ],
  );
  socket.request(replaceNeighbourRequest({ link: a, address: '10.1.0.7', mac: '02:00:00:00:00:77' }));
  t.equal(listNeighbours(socket, { link: a }).find(x => x.address === '10.1.0.7')?.mac, '02:00:00:00:00:77');
  t.ok(socket.request(deleteNeighbourRequest({ link: a, address: '10.1.0.7' })));
  t.notOk(
    socket.request(deleteNeighbourRequest({ link: a, address: '10.1.0.99' })),
    'deleting what is not there is no error',
  );

  createLink(socket, {
    kind: 'vxlan',
    name: 'vx',
    up: true,
    vxlan: { vni: 5, local: '10.1.0.1', port: 8472, learning: false, gbp: false },
  });
  const vx = getLink(socket, 'vx').index;
  socket.request(replaceFdbRequest({ link: vx, mac: '0a:00:00:00:00:01', remote: '192.0.2.1' }));
  socket.request(replaceFdbRequest({ link: vx, mac: '0a:00:00:00:00:01', remote: '192.0.2.2' }));
  const entries = bridge('fdb', 'show', 'dev', 'vx').map(x => `${x.mac} ${x.dst} ${x.state}`);
  const wanted = ['0a:00:00:00:00:01 192.0.2.2 permanent'];
  t.same(entries.sort(), wanted);
  t.same(
    listFdb(socket, vx)
      .map(x => `${x.mac} ${x.remote} ${x.permanent ? 'permanent' : ''}`)
      .sort(),
    wanted,
  );
  const gone = { link: vx, mac: '0a:00:00:00:00:01', remote: '192.0.2.2' };
  t.ok(socket.request(deleteFdbRequest(gone)));
  t.notOk(socket.request(deleteFdbRequest(gone)), 'deleting again does not fail');
  const both = [gone, { ...gone, link: 9999 }].map(deleteFdbRequest);
  t.equal(socket.requestAll(both).size, 0, 'nor is it in a batch');
});
