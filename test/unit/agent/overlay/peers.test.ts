import t from 'tap';
import { parseNetConf } from '../../../../src/agent/config/net-conf.ts';
import {
  leaseAttributes,
  type OverlayPlan,
  type PlanInputs,
  planOverlays,
  underlayFamilies,
} from '../../../../src/agent/inputs/plan.ts';
import type { Lease } from '../../../../src/agent/lease/lease.ts';
import { PeerSelector, selectPeers } from '../../../../src/agent/overlay/peer-selector.ts';
import { requireAddress } from '../../../../src/ip/address.ts';
import { formatPrefix, parsePrefix, requirePrefix } from '../../../../src/ip/prefix.ts';

const MACS = { mac4: '02:00:00:00:00:04', mac6: '02:00:00:00:00:06' };
const UNDERLAY = {
  index: 2,
  name: 'eth0',
  mtu: 1500,
  address4: '192.0.2.1',
  address6: 'fd00::1',
  public4: '192.0.2.1',
  public6: 'fd00::1',
};
const config = (backend: object, extra = {}) =>
  parseNetConf(JSON.stringify({ Network: '10.0.0.0/16', Backend: backend, ...extra }), 'x');
const DUAL = { EnableIPv6: true, IPv6Network: 'fc00::/48' };

function lease(
  n: number,
  more: Partial<Lease['attributes']> = {},
  node?: string,
  subnet = `10.0.${n}.0/24`,
): Lease {
  return {
    key: subnet.replace('/', '-'),
    v4: parsePrefix(subnet),
    v6: parsePrefix(`fc00:0:0:${n}::/64`),
    expiresAt: undefined,
    node,
    attributes: {
      publicIp: `192.0.2.${n}`,
      publicIpv6: `fd00::${n}`,
      backendType: 'vxlan',
      backendData: { VNI: 1, VtepMAC: `0a:00:00:00:00:0${n}` },
      backendV6Data: { VNI: 1, VtepMAC: `0a:00:00:00:06:0${n}` },
      ...more,
    },
  };
}

const OWN = lease(1);
const WIRE = [parsePrefix('192.0.2.1/32')!, parsePrefix('192.0.2.0/24')!, parsePrefix('10.0.200.0/24')!];
const plansOf = (config: PlanInputs['config'], more: Partial<PlanInputs> = {}) =>
  planOverlays({ config, underlay: UNDERLAY, lease: OWN, macs: MACS, ...more });
const select = (conf: ReturnType<typeof config>, leases: Lease[], onLink = () => true, at = 0) => {
  const plan = plansOf(conf)[at]!;
  return selectPeers({ plan, config: conf, own: OWN, onLink, underlay: WIRE }, [OWN, ...leases]);
};

const WILLING = { remoteChecksum: true, offloadProofs: true };

t.test('the same overlays as in flannel', async t => {
  const dual = plansOf(config({ Type: 'vxlan', VNI: 7 }, DUAL));
  t.match(dual, [
    {
      device: 'flannel.7',
      family: 4,
      mtu: 1450,
      mac: MACS.mac4,
      subnets: ['10.0.1.0/24'],
      networks: ['10.0.0.0/16'],
    },
    {
      device: 'flannel-v6.7',
      family: 6,
      mtu: 1430,
      mac: MACS.mac6,
      subnets: ['fc00:0:0:1::/64'],
      address: 'fd00::1',
    },
  ]);
  const udp = plansOf(config({ Type: 'udp' }, DUAL));
  t.match(udp, [{ device: 'flannel0', family: 4, carries: [4, 6], mtu: 1472, mac: undefined }]);
  t.same(underlayFamilies(config({ Type: 'udp' }, DUAL)), { v4: true, v6: false });
  t.same(underlayFamilies(config({ Type: 'host-gw' }, DUAL)), { v4: true, v6: true });
  const jumbo = plansOf(config({ Type: 'vxlan', MTU: 9000 }), { lease: { ...OWN, v6: undefined } });
  t.equal(jumbo[0]!.mtu, 8950);
  t.throws(() => plansOf(config({ Type: 'vxlan' }, DUAL), { underlay: { ...UNDERLAY, mtu: 1300 } }), {
    code: 'ECONFIG',
    message: /eth0/,
  });
  t.match(leaseAttributes({ type: 'udp', port: 1 }, UNDERLAY, MACS, WILLING), {
    backendType: 'udp',
    backendData: { RipstopOffloadProofs: 1 },
  });
  const silent = { remoteChecksum: true, offloadProofs: false };
  t.match(leaseAttributes({ type: 'udp', port: 1 }, UNDERLAY, MACS, silent), { backendData: undefined });
  t.match(leaseAttributes({ type: 'host-gw' }, UNDERLAY, MACS, WILLING), { backendData: undefined });
});

t.test("a node of flannel's udp backend gets no congestion marks: it would lose them", async t => {
  const conf = config({ Type: 'udp' });
  const { peers } = select(conf, [
    lease(2, { backendType: '', backendData: undefined, backendV6Data: undefined }),
    lease(3, { backendType: 'udp', backendData: undefined, backendV6Data: undefined }),
  ]);
  t.strictSame(
    peers.map(({ address, ignoresEcn }) => [address, ignoresEcn ?? false]),
    [
      ['192.0.2.2', true],
      ['192.0.2.3', false],
    ],
  );
  t.equal(
    select(config({ Type: 'vxlan' }), [lease(2)]).peers[0]!.ignoresEcn,
    undefined,
    'kernel VXLAN reads them',
  );
});

t.test('peers by overlay', async t => {
  const conf = config({ Type: 'vxlan' }, DUAL);
  const four = select(conf, [lease(2)]);
  t.match(four.peers, [
    {
      id: '10.0.2.0-24',
      address: '192.0.2.2',
      mac: '0a:00:00:00:00:02',
      subnets: ['10.0.2.0/24'].map(requirePrefix),
      direct: false,
    },
  ]);
  const six = select(conf, [lease(2)], () => true, 1);
  t.match(six.peers, [
    { address: 'fd00::2', mac: '0a:00:00:00:06:02', subnets: ['fc00:0:0:2::/64'].map(requirePrefix) },
  ]);
  t.match(select(config({ Type: 'vxlan', DirectRouting: true }), [lease(2)]).peers, [{ direct: true }]);
  t.match(select(config({ Type: 'vxlan', DirectRouting: true }), [lease(2)], () => false).peers, [
    { direct: false },
  ]);
  const udp = select(config({ Type: 'udp' }, DUAL), [lease(2, { backendType: '', backendData: undefined })]);
  t.match(
    udp.peers,
    [{ mac: undefined, subnets: ['10.0.2.0/24', 'fc00:0:0:2::/64'].map(requirePrefix) }],
    'flannel writes no type for udp',
  );
});

t.test('inner checksums are left partial only between nodes that both publish it', async t => {
  const conf = config({ Type: 'vxlan' }, DUAL);
  const [plan, plan6] = plansOf(conf);
  const attributes = leaseAttributes(conf.backend, UNDERLAY, MACS, WILLING);
  const open = { VNI: 1, VtepMAC: '0a:00:00:00:00:02', RipstopRemoteChecksum: true };
  const side = (of: OverlayPlan, own: Lease) => ({
    plan: of,
    config: conf,
    own,
    onLink: () => true,
    underlay: [],
  });
  const agreed = (own: Lease, ...others: Lease[]) =>
    selectPeers(side(plan!, own), others).peers.map(peer => peer.remoteChecksum);
  const willing = { ...OWN, attributes };
  t.same(agreed(willing, lease(2, { backendData: open })), [true]);
  t.same(agreed(willing, lease(2)), [false], 'a node of flannel’s, or one with the switch off');
  t.same(agreed(OWN, lease(2, { backendData: open })), [false], 'this node has it off');
  t.same(
    agreed(willing, lease(2, { backendData: { ...open, RipstopRemoteChecksum: 'yes' } })),
    [false],
    'true and nothing else',
  );
  const old = { ...lease(2), key: '10.0.7.0-24', v4: parsePrefix('10.0.7.0/24'), v6: undefined };
  t.same(agreed(willing, lease(2, { backendData: open }), old), [false], 'all leases of a node must say so');
  const six = selectPeers(side(plan6!, willing), [lease(2, { backendData: open })]);
  t.same(
    six.peers.map(peer => peer.remoteChecksum),
    [false],
    'each family for itself',
  );
});

t.test('trains are sent only to nodes that announce that they answer', async t => {
  const announced = { RipstopOffloadProofs: 1 };
  const vxlan = { VNI: 1, VtepMAC: '0a:00:00:00:00:02', ...announced };
  const conf = config({ Type: 'vxlan' }, DUAL);
  const proves = (index: number, ...leases: Lease[]) =>
    select(conf, leases, () => true, index).peers.map(peer => peer.provesOffloads);
  t.same(proves(0, lease(2, { backendData: vxlan })), [true]);
  t.same(proves(1, lease(2, { backendData: vxlan })), [false], 'each family for itself');
  t.same(proves(0, lease(2)), [false], "a node of flannel's");
  const udp = (backendData: unknown) => lease(2, { backendType: '', backendData });
  const peers = (data: unknown) => select(config({ Type: 'udp' }, DUAL), [udp(data)]).peers;
  t.match(peers(announced), [{ provesOffloads: true }]);
  t.match(peers(undefined), [{ provesOffloads: false }]);
});

t.test('a bad lease does not affect other leases', async t => {
  const conf = config({ Type: 'vxlan' });
  const bad: [string, Lease][] = [
    ['other-backend', lease(3, { backendType: 'host-gw' })],
    ['malformed', lease(3, { backendData: { VtepMAC: 'x' } })],
    ['malformed', lease(3, { backendData: undefined })],
    ['vni-differs', lease(3, { backendData: { VNI: 9, VtepMAC: '0a:00:00:00:00:03' } })],
    ['no-address', lease(3, { publicIp: undefined })],
    ['malformed', lease(3, { publicIp: '192.0.2.300' })],
    ['malformed', lease(3, { publicIp: 'fd00::3' })],
    ['duplicate', lease(3, { publicIp: '192.0.2.1' })],
    ['duplicate', lease(3, { backendData: { VNI: 1, VtepMAC: '0a:00:00:00:00:02' } })],
    ['outside-network', lease(3, {}, undefined, '10.9.3.0/24')],
    ['overlap', lease(3, {}, undefined, '10.0.2.128/25')],
    ['overlap', lease(3, {}, undefined, '10.0.1.128/25')],
    ['underlay', lease(3, {}, undefined, '10.0.200.128/25')],
    ['underlay', lease(3, { publicIp: '10.0.2.7' })],
    ['underlay', lease(3, { publicIp: '10.0.1.7' })],
    ['underlay', lease(3, { publicIp: '10.0.3.7' })],
    ['duplicate', lease(3, { backendData: { VNI: 1, VtepMAC: MACS.mac4 } })],
  ];
  for (const [reason, wrong] of bad) {
    const { peers, rejected } = select(conf, [lease(2), wrong]);
    t.equal(peers.length, 1, reason);
    t.match(rejected, [{ key: wrong.key, reason }]);
  }
  t.match(select(config({ Type: 'host-gw' }), [lease(2, { backendType: 'host-gw' })], () => false).rejected, [
    { reason: 'off-link' },
  ]);
});

t.test('two leases of one node are one peer', async t => {
  const conf = config({ Type: 'vxlan' });
  const moved = lease(5, {}, undefined, '10.0.6.0/24');
  t.match(select(conf, [lease(5), moved]).peers, [
    { subnets: ['10.0.5.0/24', '10.0.6.0/24'].map(requirePrefix) },
  ]);
});

t.test('of two nodes with one address, the older is the peer, or the one that is alive', async t => {
  const conf = config({ Type: 'vxlan' });
  const first = lease(5);
  const second = lease(
    5,
    { backendData: { VNI: 1, VtepMAC: '0a:00:00:00:00:99' } },
    'alive/1',
    '10.0.6.0/24',
  );
  const winner = (a: Partial<Lease>, b: Partial<Lease>) => {
    const { peers, rejected } = select(conf, [
      { ...first, ...a },
      { ...second, ...b },
    ]);
    t.equal(peers.length, 1);
    t.match(rejected, [{ reason: 'duplicate' }]);
    return peers[0]!.id;
  };
  t.equal(winner({ since: 7 }, { since: 8 }), first.key);
  t.equal(winner({ since: 8 }, { since: 7 }), second.key);
  t.equal(winner({ since: 8 }, {}), first.key, 'one of unknown age counts as young');
  t.equal(winner({ since: 7, isGone: true }, { since: 8 }), second.key);
});

t.test('a lease that the store has takes precedence over a kept one', async t => {
  const conf = config({ Type: 'vxlan' });
  const side = { plan: plansOf(conf)[0]!, config: conf, own: OWN, onLink: () => true, underlay: WIRE };
  const kept = { ...lease(2, {}, undefined, '10.0.2.0/23'), isKept: true };
  const address = { publicIp: '192.0.2.2' };
  for (const [what, fresh] of [
    ['within its range', lease(3)],
    ['with its address', lease(4, address)],
    ['with its MAC', lease(4, { backendData: kept.attributes.backendData })],
  ] as const) {
    const selector = new PeerSelector(side);
    selector.update(new Map([[kept.key, kept]]));
    const leases = new Map([kept, fresh].map(each => [each.key, each]));
    selector.update(leases, [fresh.key]);
    t.strictSame([...selector.peers.keys()], [fresh.key], what);
    t.match(selector.rejected.get(kept.key)?.message, `what lease ${fresh.key} claims, which the store has`);
    leases.delete(fresh.key);
    selector.update(leases, [fresh.key]);
    t.strictSame([...selector.peers.keys()], [kept.key], 'it is a peer again when the other one is gone');
  }

  const selector = new PeerSelector(side);
  const whole = { ...kept, isKept: false };
  const leases = new Map([whole, lease(3)].map(each => [each.key, each]));
  selector.update(leases);
  t.strictSame([...selector.peers.keys()], [kept.key], 'the store has both: the first one stays');
  selector.update(leases.set(kept.key, kept), [kept.key]);
  t.strictSame([...selector.peers.keys()], [lease(3).key], 'the store lost the one');
});

t.test('ranges around others keep what longest prefix match leaves to them', async t => {
  const conf = config({ Type: 'vxlan' });
  const wide = { ...lease(8, {}, undefined, '10.0.0.0/22'), since: 9 };
  const zero = { ...lease(9, {}, undefined, '10.0.0.0/24'), since: 1 };
  const two = { ...lease(2), since: 2 };
  const all = select(conf, [wide, two, zero]);
  t.same(all.rejected, []);
  t.same(
    new Map(all.peers.map(({ id, subnets }) => [id, subnets.map(formatPrefix)])),
    new Map([
      [zero.key, ['10.0.0.0/24']],
      [two.key, ['10.0.2.0/24']],
      [wide.key, ['10.0.3.0/24']],
    ]),
    'this node’s own range, and one with the same first address, are cut out',
  );
  const { rejected } = select(conf, [{ ...wide, since: 0 }, two]);
  t.match(rejected, [
    { key: two.key, reason: 'overlap', message: /within|overlaps 10\.0\.0\.0\/22 of lease/ },
  ]);
});

t.test('an underlay address of the other family counts where pods have that family', async t => {
  const other = lease(3, { publicIpv6: 'fd00::2' });
  t.match(select(config({ Type: 'vxlan' }, DUAL), [lease(2), other]).rejected, [
    { key: other.key, reason: 'duplicate' },
  ]);
  t.same(select(config({ Type: 'vxlan' }), [lease(2), other]).rejected, []);
  t.match(select(config({ Type: 'vxlan' }, DUAL), [lease(2)]).peers, [
    { hosts: ['192.0.2.2', 'fd00::2'].map(requireAddress) },
  ]);
});

t.test('a public address that is of no node (H26): no peer, and the reason', async t => {
  const vxlan = config({ Type: 'vxlan' }, DUAL);
  const reasonOf = (more: Partial<Lease['attributes']>, at = 0) =>
    select(vxlan, [lease(2, more)], undefined, at).rejected[0];
  for (const [publicIp, kind] of [
    ['127.0.0.1', 'a loopback address'],
    ['127.9.9.9', 'a loopback address'],
    ['224.0.0.1', 'multicast'],
    ['239.1.2.3', 'multicast'],
    ['255.255.255.255', 'the broadcast address'],
    ['0.0.0.1', 'unspecified'],
    ['192.0.2.255', 'the broadcast address of the underlay subnet 192.0.2.0/24'],
  ] as const)
    t.match(reasonOf({ publicIp }), { reason: 'malformed', message: new RegExp(`${publicIp}, .*${kind}`) });
  for (const [publicIpv6, kind] of [
    ['::1', 'a loopback address'],
    ['ff02::1', 'multicast'],
    ['::ffff:10.0.0.1', 'an IPv4-mapped address'],
  ] as const)
    t.match(reasonOf({ publicIpv6 }, 1), { reason: 'malformed', message: new RegExp(kind) });
  t.equal(select(vxlan, [lease(2, { publicIp: '192.0.3.255' })]).rejected.length, 0, 'of another subnet');
});

t.test('a reservation for a node that has not started is neither a peer nor a fault (J11)', async t => {
  const attributes = { backendType: '', backendData: undefined, backendV6Data: undefined };
  const reserved = { ...lease(7, attributes), expiresAt: 0 };
  const vxlan = select(config({ Type: 'vxlan' }), [reserved]);
  t.same(vxlan, { peers: [], rejected: [] });
  t.match(
    select(config({ Type: 'vxlan' }), [lease(7, attributes)]).rejected,
    [{ reason: 'other-backend', message: /has backend udp/ }],
    'a lease that ends belongs to a node of the udp backend',
  );
  t.equal(select(config({ Type: 'udp' }), [reserved]).peers.length, 1, 'nodes of udp publish the same');
});
