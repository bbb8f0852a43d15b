import t from 'tap';
import { parseNetConf } from '../../../../src/agent/config/net-conf.ts';
import {
  chooseUnderlay,
  type LinkSnapshot,
  type UnderlayLink,
  type UnderlaySelector,
} from '../../../../src/agent/inputs/underlay.ts';
import { UnderlayChooser } from '../../../../src/agent/inputs/underlay-chooser.ts';
import { MOVE_AFTER_MS, MoveDecision } from '../../../../src/agent/inputs/underlay-follower.ts';

const LINKS: UnderlayLink[] = [
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

function view(default4 = 2, default6 = 2): LinkSnapshot {
  return {
    links: () => LINKS,
    defaultRoute: family => (family === 4 ? default4 : default6) || undefined,
    routeTo: address => (address === '192.168.7.9' ? { link: 3, source: '192.168.7.5' } : undefined),
  };
}

const choose = (selector: Partial<UnderlaySelector>, from = view()) =>
  chooseUnderlay(
    {
      iface: [],
      ifaceRegex: [],
      ifaceCanReach: '',
      publicIp: '',
      publicIpv6: '',
      v4: true,
      v6: false,
      ...selector,
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
  const onOther = choose({ publicIp: '192.168.7.5', iface: ['eth0'] });
  t.match(onOther, { name: 'eth0', address4: '192.168.7.5' }, 'bound although --iface names another link');
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

/** A node whose links and default route a test changes. */
function changing() {
  const state = { links: LINKS, default4: 2 };
  const from: LinkSnapshot = { ...view(), links: () => state.links, defaultRoute: () => state.default4 };
  const drop = (address: string): void => {
    state.links = state.links.map(link => ({
      ...link,
      addresses: link.addresses.filter(candidate => candidate.address !== address),
    }));
  };
  const give = (name: string, address: string): void => {
    const family = address.includes(':') ? 6 : 4;
    state.links = state.links.map(link =>
      link.name === name
        ? { ...link, addresses: [{ family, address, scope: 'global' as const }, ...link.addresses] }
        : link,
    );
  };
  return { state, view: from, drop, give };
}

const CONFIG = (text: object) =>
  parseNetConf(JSON.stringify(text), 'test', { ranges: true, tolerateUnknown: false });
const V4 = CONFIG({ Network: '10.7.0.0/16', Backend: { Type: 'vxlan' } });
const DUAL = CONFIG({
  Network: '10.7.0.0/16',
  EnableIPv6: true,
  IPv6Network: 'fd00::/48',
  Backend: { Type: 'vxlan' },
});
const NO_FLAGS = { iface: [], ifaceRegex: [], ifaceCanReach: '', publicIp: '', publicIpv6: '' };

t.test('an address that was used before is preferred as long as it exists', async t => {
  const node = changing();
  const chooser = new UnderlayChooser(NO_FLAGS, node.view);
  const home = chooser.choose(V4, {});
  chooser.settle(home, V4, {});
  node.give('eth0', '10.0.2.100');
  node.state.default4 = 3;
  t.same(chooser.choose(V4, {}), home, 'another default route and another address change nothing');
  node.drop('10.0.2.15');
  const moved = chooser.choose(V4, {});
  t.match(
    moved,
    { name: 'eth0', address4: '10.0.2.100' },
    'another address of the same link before another link',
  );
  chooser.settle(moved, V4, {});
  node.give('eth0', '10.0.2.101');
  t.same(chooser.choose(V4, {}), moved, 'the one in use stays');
  const restarted = new UnderlayChooser(NO_FLAGS, node.view, chooser.history);
  t.same(restarted.choose(V4, {}), moved, 'after a restart too');
  const flagged = new UnderlayChooser({ ...NO_FLAGS, iface: ['eth1'] }, node.view, chooser.history);
  t.match(flagged.choose(V4, { publishedIp: '10.0.2.15' }), { name: 'eth1' }, 'other flags make it void');
  node.give('eth0', '10.0.2.15');
  t.same(chooser.choose(V4, {}), home, 'and back to the first one');
  for (const address of ['10.0.2.15', '10.0.2.100', '10.0.2.101']) node.drop(address);
  t.match(chooser.choose(V4, {}), { name: 'eth1' }, 'a link without addresses is left');
});

t.test('per family: what is left stays', async t => {
  const node = changing();
  const chooser = new UnderlayChooser(NO_FLAGS, node.view);
  chooser.settle(chooser.choose(DUAL, {}), DUAL, {});
  node.give('eth0', '10.0.2.100');
  node.give('eth0', '2001:db8::100');
  node.drop('2001:db8::2');
  t.match(chooser.choose(DUAL, {}), { address4: '10.0.2.15', address6: '2001:db8::100' });
});

t.test('what the store has published names address and link where no flag does', async t => {
  const node = changing();
  node.give('eth0', '10.0.2.100');
  node.state.default4 = 3;
  const fresh = (flags: Partial<typeof NO_FLAGS>) =>
    new UnderlayChooser({ ...NO_FLAGS, ...flags }, node.view);
  t.match(fresh({}).choose(V4, { publishedIp: '10.0.2.15' }), { name: 'eth0', address4: '10.0.2.15' });
  t.match(fresh({}).choose(V4, { publishedIp: '203.0.113.1' }), { name: 'eth1' }, 'unless it is foreign');
  const named = fresh({ iface: ['eth1'] as never });
  t.match(named.choose(V4, { publishedIp: '10.0.2.15' }), { name: 'eth1' });
  t.match(named.choose(V4, { publishedIp: '192.168.7.5' }), { name: 'eth1', address4: '192.168.7.5' });
});

t.test('when to move', async t => {
  const node = changing();
  const chooser = new UnderlayChooser(NO_FLAGS, node.view);
  const home = chooser.choose(V4, {});
  chooser.settle(home, V4, {});
  let now = 0;
  const decision = new MoveDecision(() => now);
  const look = (underlay = home) => decision.look(underlay, () => chooser.choose(V4, {}), node.view.links());
  t.match(look(), { do: 'stay' });
  node.give('eth0', '10.0.2.100');
  t.match(look(), { do: 'stay' });
  node.drop('10.0.2.15');
  t.match(look(), {
    do: 'wait',
    ms: MOVE_AFTER_MS,
    lacking: /10\.0\.2\.15 of eth0 is gone; moving to eth0 10\.0\.2\.100/,
  });
  now = MOVE_AFTER_MS - 1;
  t.match(look(), { do: 'wait', ms: 1 });
  node.give('eth0', '10.0.2.15');
  t.match(look(), { do: 'stay' }, 'it returned in time');
  node.drop('10.0.2.15');
  t.match(look(), { do: 'wait', ms: MOVE_AFTER_MS }, 'a wait of its own for the next loss');
  now += MOVE_AFTER_MS;
  t.match(look(), { do: 'move' });
  const moved = chooser.choose(V4, {});
  chooser.settle(moved, V4, {});
  node.give('eth0', '10.0.2.15');
  t.match(
    look(moved),
    { do: 'wait', ms: MOVE_AFTER_MS, lacking: undefined },
    'nothing lacks on the way back',
  );
  now += MOVE_AFTER_MS;
  t.match(look(moved), { do: 'move' });
  node.state.links = node.state.links.map(link => ({ ...link, mtu: 1400 }));
  chooser.settle(home, V4, {});
  t.match(look(), { do: 'move', why: /mtu 1400/ }, 'another MTU at once');
});

t.test('public-ip-overwrite is published and changes nothing else (A15)', async t => {
  const node = changing();
  const fresh = () => new UnderlayChooser(NO_FLAGS, node.view);
  const bound = { publicIp: '192.168.7.4', overwriteIp: '203.0.113.5' };
  t.match(
    fresh().choose(V4, bound),
    { name: 'eth1', address4: '192.168.7.4', public4: '203.0.113.5' },
    'node-public-ip chooses the interface next to it',
  );
  t.match(
    fresh().choose(V4, { overwriteIp: '192.168.7.5', publishedIp: '192.168.7.5' }),
    { name: 'eth0', address4: '10.0.2.15', public4: '192.168.7.5' },
    'the address of another interface',
  );
  t.match(
    fresh().choose(V4, { overwriteIpv6: '2001:db8::7' }),
    { public4: '10.0.2.15', public6: undefined },
    'a family that is off',
  );
  const chooser = fresh();
  chooser.settle(chooser.choose(V4, bound), V4, bound);
  node.state.default4 = 3;
  t.match(chooser.choose(V4, { ...bound, overwriteIp: '203.0.113.6' }), {
    name: 'eth1',
    public4: '203.0.113.6',
  });
});
