import t from 'tap';
import { describeChange } from '../../../src/agent/kernel/change.ts';
import { desiredState, type OverlaySpec } from '../../../src/agent/kernel/desired.ts';
import { FormerState } from '../../../src/agent/kernel/former-state.ts';
import { KernelReconciler } from '../../../src/agent/kernel/reconciler.ts';
import type { Peer } from '../../../src/dataplane/descriptor/peer.ts';
import { requirePrefix } from '../../../src/ip/prefix.ts';
import type { Node } from '../../../src/lab/topology.ts';
import { kernelPicture } from '../../fixtures/agents/run-node.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/* The same code that `ripstop run` uses, on the kernel's own VXLAN: made, healed, given back. */

const skip = skipUnless('root', 'netns', 'vxlan', 'ping');

function overlaySpec(node: Node): OverlaySpec {
  return {
    mode: 'vxlan',
    device: 'flannel.1',
    mtu: 1450,
    mac: `0a:00:00:00:00:0${node.index}`,
    txQueueLength: 1000,
    subnets: [node.subnet[4], node.subnet[6]],
    networks: ['10.244.0.0/16'],
    underlay: 'eth0',
    vxlan: { vni: 1, port: 8472, local: node.underlay[4], parent: 'eth0' },
  };
}

function peerOf(node: Node): Peer {
  return {
    id: `node${node.index}`,
    address: node.underlay[4],
    mac: `0a:00:00:00:00:0${node.index}`,
    subnets: [node.subnet[4], node.subnet[6]].map(requirePrefix),
  };
}

t.test('a node is laid out, healed after every foreign change, and cleaned up', { skip }, async t => {
  const lab = labFor(t);
  const [one, two] = lab.nodes as [Node, Node];
  const keepers = lab.nodes.map(node => {
    const scope = { device: 'flannel.1', networks: ['10.244.0.0/16'] };
    const keeper = new KernelReconciler(node.ns.path, scope, new FormerState());
    t.teardown(() => keeper.close());
    return keeper;
  });
  const wanted = [
    desiredState(overlaySpec(one), [peerOf(two)]),
    desiredState(overlaySpec(two), [peerOf(one)]),
  ];
  const [keeper] = keepers as [KernelReconciler];
  const state = wanted[0]!;

  const planned = keeper.plan(state).map(describeChange);
  t.equal(planned[0], '+ device flannel.1 type vxlan');
  t.notMatch(one.ns.must(['ip', 'link']), /flannel/, 'a plan changes nothing');
  t.same(keeper.apply(state).map(describeChange), planned, 'what is done is what was planned');
  keepers[1]!.apply(wanted[1]!);
  t.same(keeper.plan(state), [], 'and then nothing is left to do');
  const works = (family: 4 | 6) =>
    one.pods[0]!.ns.attempt(['ping', '-c', '1', '-W', '10', two.pods[0]!.address[family]]).code === 0;
  t.ok(works(4) && works(6), 'pods reach each other over the kernel VXLAN');

  const wounds: readonly (readonly [string, string, RegExp])[] = [
    ['a route deleted', `route del ${two.subnet[4]}`, /^\+ route 10\.244\.2\.0\/24/],
    ['an IPv6 route deleted', `route del ${two.subnet[6]}`, /^\+ route fd00:10:244:2::\/64/],
    ['a route bent', `route replace ${two.subnet[4]} via ${two.underlay[4]}`, /^~ route 10\.244\.2\.0\/24/],
    ['a neighbour deleted', `neigh del ${two.tunnel[4]} dev flannel.1`, /^\+ neighbour 10\.244\.2\.0/],
    [
      'a neighbour changed',
      `neigh replace ${two.tunnel[4]} lladdr 02:00:00:00:00:99 dev flannel.1 nud permanent`,
      /^\+ neighbour/,
    ],
    ['an address deleted', `addr del ${one.tunnel[4]}/32 dev flannel.1`, /^\+ address 10\.244\.1\.0\/32/],
    ['an address added', 'addr add 10.99.0.1/32 dev flannel.1', /^- address 10\.99\.0\.1\/32/],
    ['the MTU changed', 'link set flannel.1 mtu 1300', /^~ device flannel\.1 mtu 1450/],
    [
      'the MAC changed, as udev may do',
      'link set flannel.1 address 0a:00:00:00:00:99',
      /^~ device flannel\.1 mac/,
    ],
    ['the device set down', 'link set flannel.1 down', /^~ device flannel\.1 up/],
    ['the device deleted', 'link del flannel.1', /^\+ device flannel\.1/],
  ];
  for (const [what, command, step] of wounds) {
    one.ns.ip(command);
    const steps = keeper.apply(state).map(describeChange);
    t.ok(
      steps.some(line => step.test(line)),
      `${what}: ${steps.join('; ')}`,
    );
    t.same(keeper.plan(state), [], `${what}: healed`);
  }
  one.ns.must(['bridge', 'fdb', 'del', '0a:00:00:00:00:02', 'dev', 'flannel.1']);
  t.match(keeper.apply(state).map(describeChange), [
    '+ forwarding 0a:00:00:00:00:02 dst 172.31.0.2 dev flannel.1',
  ]);
  one.ns.must(['bridge', 'fdb', 'append', '0a:00:00:00:00:77', 'dev', 'flannel.1', 'dst', '172.31.0.77']);
  t.match(keeper.apply(state).map(describeChange), [
    '- forwarding 0a:00:00:00:00:77 dst 172.31.0.77 dev flannel.1',
  ]);
  one.ns.sysctl('net.ipv4.ip_forward=0');
  t.match(keeper.apply(state).map(describeChange), ['~ setting net/ipv4/ip_forward = 1 (was 0)']);
  t.ok(works(4) && works(6));

  // Another port cannot be changed on the device: it is created again, with everything that depended on it.
  const overlay = overlaySpec(one);
  const other = desiredState({ ...overlay, vxlan: { ...overlay.vxlan!, port: 4789 } }, [peerOf(two)]);
  t.match(keeper.apply(other).map(describeChange).slice(0, 2), [
    '- device flannel.1 (port is 8472)',
    '+ device flannel.1 type vxlan',
  ]);
  t.same(keeper.plan(other), []);

  // A peer that is gone.
  t.match(
    keeper
      .apply(desiredState(overlay, []))
      .map(describeChange)
      .filter(line => line.startsWith('-')).length >= 1,
    true,
  );
  t.equal(one.ns.must(['ip', 'route', 'show', two.subnet[4]]), '');
});

t.test('plain routes: only ours go, foreign ones come back', { skip }, async t => {
  const lab = labFor(t, { podsPerNode: 0 });
  const [one, two] = lab.nodes as [Node, Node];
  one.ns.ip(
    `route add ${two.subnet[4]} dev eth0 scope link src ${one.underlay[4]} mtu 1234 proto static`,
    `route add blackhole ${two.subnet[6]} proto static`,
    'route add 10.244.77.0/24 via 172.31.0.2 proto static',
    // Left over from a previous run.
    'route add 10.244.88.0/24 via 172.31.0.2 proto 114',
    // Ours, but of another overlay on this machine.
    'route add 10.99.88.0/24 via 172.31.0.2 proto 114',
  );
  one.ns.sysctl('net.ipv4.ip_forward=0');
  const before = kernelPicture(one.ns)
    .split('\n')
    .filter(line => !line.includes('10.244.88.0/24'));
  const former = new FormerState();
  const scope = { device: undefined, networks: ['10.244.0.0/16'] };
  const keeper = new KernelReconciler(one.ns.path, scope, former);
  t.teardown(() => keeper.close());
  const overlay: OverlaySpec = { ...overlaySpec(one), mode: 'host-gw', device: undefined, vxlan: undefined };
  const peer = { ...peerOf(two), address: two.underlay[4], subnets: [requirePrefix(two.subnet[4])] };
  const six = { ...peerOf(two), address: two.underlay[6], subnets: [requirePrefix(two.subnet[6])] };
  const steps = keeper.apply(desiredState(overlay, [peer, six])).map(describeChange);
  const removal = steps.indexOf('- route 10.244.88.0/24 via 172.31.0.2 dev eth0');
  t.ok(removal >= 0 && removal < steps.findIndex(step => /^[+~] route/.test(step)), steps.join('; '));
  t.match(one.ns.must(['ip', 'route', 'show', two.subnet[4]]), `via ${two.underlay[4]} dev eth0 proto 114`);
  t.match(
    one.ns.must(['ip', '-6', 'route', 'show', two.subnet[6]]),
    `via ${two.underlay[6]} dev eth0 proto 114`,
  );
  t.same(keeper.plan(desiredState(overlay, [peer, six])), []);
  const wanted = desiredState(overlay, [peer, six]);
  t.same(keeper.removeRoutes(wanted), [], 'all could be removed');
  const routes = one.ns.must(['ip', 'route']) + one.ns.must(['ip', '-6', 'route']);
  t.match(
    routes,
    new RegExp(`${two.subnet[4]} dev eth0 proto static`),
    'a replaced route comes back at once',
  );
  t.match(routes, new RegExp(`blackhole ${two.subnet[6]} dev lo proto static`));
  t.same(former.restore(keeper.socket), [], 'all could be undone');
  t.same(kernelPicture(one.ns).split('\n'), before, 'all is as it was, without our leftover');
  t.same([...keeper.removeRoutes(wanted), ...former.restore(keeper.socket)], [], 'twice does not fail');
});
