import t from 'tap';
import {
  chooseUnderlay,
  type Link,
  type UnderlayView,
  type UnderlayWish,
} from '../../../src/agent/config/underlay.ts';

const LINKS: Link[] = [
  { index: 1, name: 'lo', mtu: 65536, addresses: [{ family: 4, address: '127.0.0.1', scope: 'host' }] },
  {
    index: 2,
    name: 'eth0',
    mtu: 1500,
    addresses: [
      { family: 4, address: '10.0.2.15', scope: 'global' },
      { family: 6, address: 'fe80::2', scope: 'link' },
      { family: 6, address: '2001:db8::dead', scope: 'global', temporary: true },
      { family: 6, address: '2001:db8::2', scope: 'global' },
    ],
  },
  {
    index: 3,
    name: 'eth1',
    mtu: 9000,
    addresses: [
      { family: 4, address: '169.254.1.1', scope: 'link' },
      { family: 4, address: '192.168.7.4', scope: 'global' },
      { family: 4, address: '192.168.7.5', scope: 'global' },
    ],
  },
  { index: 4, name: 'bare', mtu: 1500, addresses: [] },
  { index: 5, name: 'zero', mtu: 0, addresses: [{ family: 4, address: '172.16.0.1', scope: 'global' }] },
];

function view(default4 = 2, default6 = 2): UnderlayView {
  return {
    links: () => LINKS,
    defaultRoute: family => (family === 4 ? default4 : default6) || undefined,
    routeTo: address => (address === '192.168.7.9' ? { link: 3, source: '192.168.7.5' } : undefined),
  };
}

const choose = (wish: Partial<UnderlayWish>, from = view()) =>
  chooseUnderlay(
    {
      iface: [],
      ifaceRegex: [],
      ifaceCanReach: '',
      publicIp: '',
      publicIpv6: '',
      v4: true,
      v6: false,
      ...wish,
    },
    from,
  );

t.test('nothing given: the default route', async t => {
  t.same(choose({}), {
    index: 2,
    name: 'eth0',
    mtu: 1500,
    address4: '10.0.2.15',
    address6: undefined,
    public4: '10.0.2.15',
    public6: undefined,
  });
  t.equal(
    choose({ v6: true }).address6,
    '2001:db8::2',
    'lasting global address before temporary and link-local ones',
  );
  t.throws(() => choose({ v6: true }, view(2, 3)), { code: 'EUNDERLAY', message: /eth0.*eth1.*differ/ });
  t.throws(() => choose({}, view(0, 0)), { code: 'EUNDERLAY', message: /no default route/ });
});

t.test('a local public address names the interface; a foreign one is only published', async t => {
  t.equal(choose({ publicIp: '192.168.7.4' }).name, 'eth1');
  const nat = choose({ publicIp: '203.0.113.9' });
  t.equal(nat.name, 'eth0');
  t.equal(nat.public4, '203.0.113.9');
  t.equal(nat.address4, '10.0.2.15');
  t.throws(() => choose({ publicIp: 'fc00::1' }), { code: 'ECONFIG' });
});

t.test('--iface by name or address, in order', async t => {
  t.equal(choose({ iface: ['eth1'] }).address4, '192.168.7.4', 'global before link scope');
  t.equal(choose({ iface: ['192.168.7.5'] }).address4, '192.168.7.5');
  t.equal(choose({ iface: ['nope', 'bare', 'eth1'] }).name, 'eth1');
  t.equal(choose({ iface: ['2001:0db8::0002'], v6: true }).name, 'eth0');
});

t.test('--iface-regex: addresses first, then names', async t => {
  t.equal(choose({ ifaceRegex: ['^192\\.168\\.7\\.5$'] }).address4, '192.168.7.5');
  t.equal(choose({ ifaceRegex: ['^eth1$'] }).address4, '192.168.7.4');
  t.equal(choose({ iface: ['nope'], ifaceRegex: ['nope', 'h0'] }).name, 'eth0');
  t.throws(() => choose({ ifaceRegex: ['['] }), { code: 'ECONFIG', message: /--iface-regex/ });
});

t.test('--iface-can-reach: the source of the route counts', async t => {
  const chosen = choose({ ifaceCanReach: '192.168.7.9' });
  t.equal(chosen.name, 'eth1');
  t.equal(chosen.address4, '192.168.7.5');
});

t.test('all fail: no falling back to the default route', async t => {
  t.throws(() => choose({ iface: ['nope', 'bare', 'zero'], ifaceCanReach: '8.8.8.8' }), {
    code: 'EUNDERLAY',
    message: /nope: no such interface.*bare has no IPv4 address.*zero has MTU 0.*no route to 8.8.8.8/,
  });
});
