import t from 'tap';
import { describeChange } from '../../../../src/agent/kernel/change.ts';
import { desiredState, type OverlaySpec } from '../../../../src/agent/kernel/desired.ts';
import { connectedRoutes, diff } from '../../../../src/agent/kernel/diff.ts';
import {
  type DesiredState,
  type ObservedRoute,
  type ObservedState,
  type OwnershipScope,
  PROTOCOL_BOOT,
  PROTOCOL_KERNEL,
  PROTOCOL_RIPSTOP,
} from '../../../../src/agent/kernel/state.ts';
import type { Peer } from '../../../../src/dataplane/descriptor/peer.ts';
import { formatPrefix, requirePrefix } from '../../../../src/ip/prefix.ts';
import type { Route } from '../../../../src/net/rtnetlink/routes.ts';

/* Desired state against observed state, without a kernel. */

const OVERLAY: OverlaySpec = {
  mode: 'vxlan',
  device: 'flannel.1',
  mtu: 1450,
  mac: '0A:00:00:00:00:01',
  txQueueLength: 1000,
  subnets: ['10.244.1.0/24', 'fd00:1::/64'],
  networks: ['10.244.0.0/16'],
  underlay: 'eth0',
};
const PEER: Peer = {
  id: 'node2',
  address: '192.0.2.2',
  mac: '0a:00:00:00:00:02',
  subnets: ['10.244.2.0/24', 'fd00:2::/64'].map(requirePrefix),
};
const SCOPE: OwnershipScope = { device: 'flannel.1', networks: ['10.244.0.0/16'] };

function route(destination: string, rest: Partial<ObservedRoute>): ObservedRoute {
  const family = destination.includes(':') ? 6 : 4;
  const metric = family === 6 ? 1024 : 0;
  return {
    destination,
    family,
    metric,
    protocol: PROTOCOL_RIPSTOP,
    special: false,
    original: {} as Route,
    ...rest,
  };
}

/** An observed state that equals the desired one. */
function satisfied(wanted: DesiredState): ObservedState {
  return {
    device: wanted.device && {
      index: 7,
      name: wanted.device.name,
      kind: 'tun',
      up: true,
      mtu: wanted.device.mtu,
      mac: wanted.device.mac,
      alias: wanted.device.vxlan && 'ripstop',
      txQueueLength: wanted.device.txQueueLength,
      addresses: wanted.device.addresses,
      vxlan: wanted.device.vxlan,
    },
    neighbours: wanted.neighbours,
    forwarding: wanted.forwarding,
    routes: wanted.routes.map(({ destination, ...rest }) => route(destination, rest)),
    settings: new Map(wanted.settings.map(({ name, value }) => [name, value])),
  };
}

const lines = (wanted: DesiredState, there: ObservedState) => diff(wanted, there, SCOPE).map(describeChange);

t.test("flannel's layout", async t => {
  const vxlan = desiredState(OVERLAY, [PEER]);
  t.match(vxlan.device, {
    mac: '0a:00:00:00:00:01',
    addresses: ['10.244.1.0/32', 'fd00:1::/128'],
  });
  t.same(vxlan.neighbours, [
    { address: '10.244.2.0', mac: '0a:00:00:00:00:02' },
    { address: 'fd00:2::', mac: '0a:00:00:00:00:02' },
  ]);
  t.same(vxlan.routes, [
    { destination: '10.244.2.0/24', gateway: '10.244.2.0', device: 'flannel.1', onlink: true },
    { destination: 'fd00:2::/64', gateway: 'fd00:2::', device: 'flannel.1', onlink: true },
  ]);
  t.same(vxlan.forwarding, [], 'no kernel FDB for the userspace data plane');

  const udp = desiredState({ ...OVERLAY, mode: 'udp', device: 'flannel0', mac: undefined }, [PEER]);
  t.same(
    udp.routes,
    [
      { destination: '10.244.0.0/16', device: 'flannel0' },
      { destination: 'fd00:2::/64', device: 'flannel0' },
    ],
    'networks whole, and what lies outside of them by itself',
  );
  t.same(udp.neighbours, []);

  const direct = desiredState(OVERLAY, [
    { ...PEER, direct: true, subnets: [requirePrefix('10.244.2.0/24')] },
  ]);
  t.same(direct.routes, [{ destination: '10.244.2.0/24', gateway: '192.0.2.2' }]);
  t.same(direct.neighbours, []);
  const plain = desiredState({ ...OVERLAY, mode: 'host-gw', device: undefined }, [PEER]);
  t.equal(plain.device, undefined);
  t.equal(plain.routes.length, 2);

  const kernel = desiredState(
    { ...OVERLAY, vxlan: { vni: 1, port: 8472, local: '192.0.2.1', parent: 'eth0' } },
    [PEER],
  );
  t.same(kernel.forwarding, [{ mac: '0a:00:00:00:00:02', remote: '192.0.2.2' }]);
  t.notOk(
    desiredState({ ...OVERLAY, subnets: ['10.244.1.0/24'] }, []).settings.some(x =>
      x.name.includes('all/forwarding'),
    ),
    'IPv6 settings are left alone without IPv6 pods',
  );
});

t.test('nothing to do', async t => {
  const wanted = desiredState(OVERLAY, [PEER]);
  t.same(lines(wanted, satisfied(wanted)), []);
});

t.test('one line per difference, in an order in which the changes can be made', async t => {
  const wanted = desiredState(OVERLAY, [PEER]);
  const there: ObservedState = {
    device: {
      ...satisfied(wanted).device!,
      up: false,
      mtu: 1500,
      mac: '0a:00:00:00:00:99',
      addresses: ['10.9.9.9/32'],
    },
    neighbours: [
      { address: '10.244.2.0', mac: '0a:00:00:00:00:77' },
      { address: '10.244.9.0', mac: '0a:00:00:00:00:09' },
    ],
    forwarding: [],
    routes: [
      route('10.244.9.0/24', { gateway: '10.244.9.0', device: 'flannel.1', onlink: true }),
      route('10.244.2.0/24', { gateway: '192.0.2.99', device: 'eth0', protocol: 4 }),
    ],
    settings: new Map([
      ['net/ipv6/conf/flannel.1/disable_ipv6', '1'],
      ['net/ipv6/conf/flannel.1/accept_ra', undefined],
      ['net/ipv6/conf/flannel.1/addr_gen_mode', '1'],
      ['net/ipv4/ip_forward', '0'],
      ['net/ipv4/conf/flannel.1/forwarding', '0'],
      ['net/ipv6/conf/eth0/accept_ra', '1'],
      ['net/ipv6/conf/all/forwarding', '0'],
    ]),
  };
  t.same(lines(wanted, there), [
    '~ setting net/ipv6/conf/flannel.1/disable_ipv6 = 0 (was 1)',
    '~ setting net/ipv4/ip_forward = 1 (was 0)',
    '~ setting net/ipv6/conf/eth0/accept_ra = 2 (was 1)',
    '~ setting net/ipv6/conf/all/forwarding = 1 (was 0)',
    '~ device flannel.1 mtu 1450 mac 0a:00:00:00:00:01 up',
    '+ address 10.244.1.0/32 dev flannel.1',
    '+ address fd00:1::/128 dev flannel.1',
    '- address 10.9.9.9/32 dev flannel.1',
    '- neighbour 10.244.9.0 lladdr 0a:00:00:00:00:09 dev flannel.1',
    '- route 10.244.9.0/24 via 10.244.9.0 dev flannel.1 onlink',
    '+ neighbour 10.244.2.0 lladdr 0a:00:00:00:00:02 dev flannel.1 permanent',
    '+ neighbour fd00:2:: lladdr 0a:00:00:00:00:02 dev flannel.1 permanent',
    '~ route 10.244.2.0/24 via 10.244.2.0 dev flannel.1 onlink (was: 10.244.2.0/24 via 192.0.2.99 dev eth0)',
    '+ route fd00:2::/64 via fd00:2:: dev flannel.1 onlink',
  ]);
});

t.test('what is not ours stays', async t => {
  const wanted = desiredState(OVERLAY, []);
  const there = satisfied(wanted);
  const foreign = [
    route('10.244.7.0/24', { gateway: '192.0.2.7', device: 'eth0', protocol: 4 }),
    route('10.99.0.0/24', { device: 'other0' }),
    route('172.16.0.0/24', { device: 'flannel.1', protocol: 3 }),
  ];
  t.same(
    lines(wanted, { ...there, routes: foreign }),
    [],
    'other protocols, other overlays of ours, other devices',
  );
  const stale = [
    route('10.244.7.0/24', { gateway: '192.0.2.7', device: 'eth0' }),
    route('10.99.0.0/24', { device: 'flannel.1' }),
  ];
  t.equal(lines(wanted, { ...there, routes: stale }).length, 2, 'but ours of a peer that is gone go');
});

t.test('forwarding of the device is switched on where forwarding of the node is on', async t => {
  const wanted = desiredState({ ...OVERLAY, directRouting: true }, []);
  const there = satisfied(wanted);
  const settings = new Map(there.settings)
    .set('net/ipv4/conf/flannel.1/forwarding', '0')
    .set('net/ipv4/conf/eth0/forwarding', '0');
  t.same(lines(wanted, { ...there, settings }), [
    '~ setting net/ipv4/conf/flannel.1/forwarding = 1 (was 0)',
    '~ setting net/ipv4/conf/eth0/forwarding = 1 (was 0)',
  ]);
});

t.test('routes that flannel left become ours, and go where no node has the subnet', async t => {
  const wanted = desiredState(OVERLAY, [PEER]);
  const there = satisfied(wanted);
  const scope: OwnershipScope = {
    ...SCOPE,
    adopts: true,
    leftovers: { underlay: 'eth0', lengths: [24, 64] },
  };
  const byFlannel = there.routes.map(each => ({ ...each, protocol: PROTOCOL_BOOT }));
  const stale = [
    route('10.244.7.0/24', { gateway: '192.0.2.7', device: 'eth0', protocol: PROTOCOL_BOOT }),
    route('10.244.8.0/24', {
      ...{ gateway: '10.244.8.0', device: 'flannel.1', onlink: true },
      protocol: PROTOCOL_BOOT,
    }),
  ];
  const foreign = [
    route('10.244.9.0/24', { gateway: '192.0.2.9', device: 'eth0', protocol: 4 }),
    route('10.244.128.0/17', { gateway: '192.0.2.9', device: 'eth0', protocol: PROTOCOL_BOOT }),
    route('10.244.10.0/24', { gateway: '192.0.3.9', device: 'eth1', protocol: PROTOCOL_BOOT }),
    route('10.99.1.0/24', { gateway: '192.0.2.9', device: 'eth0', protocol: PROTOCOL_BOOT }),
    route('10.244.11.0/24', { device: 'cni1', protocol: PROTOCOL_BOOT }),
    route('10.244.0.0/16', { gateway: '192.0.2.9', device: 'eth0', protocol: PROTOCOL_BOOT }),
  ];
  const observed = { ...there, routes: [...byFlannel, ...stale, ...foreign] };
  t.same(diff(wanted, observed, scope).map(describeChange), [
    '- route 10.244.7.0/24 via 192.0.2.7 dev eth0',
    '- route 10.244.8.0/24 via 10.244.8.0 dev flannel.1 onlink',
    "~ route 10.244.2.0/24 via 10.244.2.0 dev flannel.1 onlink (becomes Ripstop's)",
    "~ route fd00:2::/64 via fd00:2:: dev flannel.1 onlink (becomes Ripstop's)",
  ]);
  t.same(
    diff(wanted, observed, { ...scope, leftovers: undefined }).length,
    2,
    'after the first comparison a foreign route without a node stays',
  );
  t.same(diff(wanted, observed, SCOPE), [], '`ripstop run` takes over nothing');
  const former = route('10.55.1.0/24', { gateway: '192.0.2.5', device: 'eth0' });
  t.same(
    diff(
      wanted,
      { ...there, routes: [...there.routes, former] },
      { ...SCOPE, formerNetworks: ['10.55.0.0/16'] },
    ).map(describeChange),
    ['- route 10.55.1.0/24 via 192.0.2.5 dev eth0'],
    'ours of a former network go',
  );
});

t.test('router advertisements stay as they are on a node that forwards already', async t => {
  const wanted = desiredState(OVERLAY, []);
  const there = satisfied(wanted);
  const settings = new Map(there.settings).set('net/ipv6/conf/eth0/accept_ra', '1');
  t.same(lines(wanted, { ...there, settings }), []);
});

t.test('a route with another metric is not replaced; a route with several hops does not match', async t => {
  const wanted = desiredState(OVERLAY, [{ ...PEER, subnets: [requirePrefix('10.244.2.0/24')] }]);
  const there = satisfied(wanted);
  const beside = route('10.244.2.0/24', { gateway: '192.0.2.9', device: 'eth0', metric: 50, protocol: 4 });
  t.same(lines(wanted, { ...there, routes: [beside] }), [
    '+ route 10.244.2.0/24 via 10.244.2.0 dev flannel.1 onlink',
  ]);
  const special = route('10.244.2.0/24', {
    gateway: '10.244.2.0',
    device: 'flannel.1',
    onlink: true,
    special: true,
  });
  t.equal(lines(wanted, { ...there, routes: [special] }).length, 1);
});

t.test('the route of a connected network is never displaced, whatever its metric', async t => {
  const wanted = desiredState(OVERLAY, [PEER]);
  const there = satisfied(wanted);
  const elsewhere = there.routes.filter(
    ({ destination }) => !PEER.subnets.map(formatPrefix).includes(destination),
  );
  for (const [metric, metric6] of [
    [0, 256],
    [100, 1024],
  ] as const) {
    const connected = [
      route('10.244.2.0/24', { device: 'eth1', protocol: PROTOCOL_KERNEL, metric }),
      route('fd00:2::/64', { device: 'eth1', protocol: PROTOCOL_KERNEL, metric: metric6 }),
    ];
    t.same(lines(wanted, { ...there, routes: [...elsewhere, ...connected] }), []);
    t.same(
      lines(wanted, { ...there, routes: [...there.routes, ...connected] }).map(line =>
        line.split(' ', 3).join(' '),
      ),
      ['- route 10.244.2.0/24', '- route fd00:2::/64'],
      'our route to the same destination is removed',
    );
    t.same(connectedRoutes(wanted.routes, connected, SCOPE), connected);
  }
  const own = route('10.244.2.0/24', { device: 'flannel.1', protocol: PROTOCOL_KERNEL });
  t.equal(lines(wanted, { ...there, routes: [own] }).length, 2, 'one of our own device is');
});

t.test('devices', async t => {
  const wanted = desiredState(OVERLAY, []);
  t.throws(() => lines(wanted, { ...satisfied(wanted), device: undefined }), { code: 'ENODEVICE' });
  const foreign = {
    ...satisfied(wanted),
    device: { ...satisfied(wanted).device!, kind: 'vxlan', mtu: 1400 },
  };
  t.throws(() => lines(wanted, foreign), { code: 'EINUSE' }, 'a device of another is not touched');
  const vxlan = { vni: 1, port: 8472, local: '192.0.2.1', parent: 'eth0' };
  const kernel = desiredState({ ...OVERLAY, vxlan }, [PEER]);
  t.same(lines(kernel, satisfied(kernel)), []);
  const fresh = lines(kernel, { ...satisfied(kernel), device: undefined });
  t.equal(fresh[0], '+ device flannel.1 type vxlan');
  t.ok(fresh.includes('~ setting net/ipv6/conf/flannel.1/accept_ra = 0'), 'settings of the new device');
  const other = satisfied(kernel);
  const changed = lines(kernel, { ...other, device: { ...other.device!, vxlan: { ...vxlan, port: 4789 } } });
  t.match(changed.slice(0, 2), ['- device flannel.1 (port is 4789)', '+ device flannel.1 type vxlan']);
  t.ok(
    changed.includes('+ forwarding 0a:00:00:00:00:02 dst 192.0.2.2 dev flannel.1'),
    'all that hung on it is made again',
  );
  t.ok(changed.some(line => line.startsWith('+ route 10.244.2.0/24')));
  const flannels = { ...other, device: { ...other.device!, alias: undefined } };
  t.same(
    lines(kernel, flannels),
    ['~ device flannel.1 alias ripstop'],
    'a device of flannel is taken over as ours',
  );
});

t.test('a kernel without IPv6', async t => {
  const wanted = desiredState(OVERLAY, []);
  const settings = new Map([['net/ipv4/ip_forward', '1']]);
  t.throws(() => lines(wanted, { ...satisfied(wanted), settings }), { code: 'ENOTSUP', hint: /IPv6/ });
});
