import t from 'tap';
import type { Overlay } from '../../../../src/agent/overlay/overlay.ts';
import { HeardPeers } from '../../../../src/agent/probe/heard-peers.ts';
import { probeStateOf, stateOf } from '../../../../src/agent/probe/probe-state.ts';
import { requirePrefix } from '../../../../src/ip/prefix.ts';

const peer = (id: string, node?: string) => ({
  ...{ id, node, address: '192.0.2.2', mac: undefined },
  subnets: [requirePrefix('10.244.2.0/24')],
});
const FLANNEL = peer('flannel');
const OURS = peer('ours', 'node3/boot');

/** An overlay whose peers have sent so many frames. */
function overlayWith(frames: Record<string, number> | undefined): Overlay {
  const none = { frames: 0, bytes: 0 };
  const peers = Object.entries(frames ?? {}).map(([id, count]) => [
    id,
    { egress: none, ingress: { frames: count, bytes: 0 } },
  ]);
  const counters = () => frames && { peers: Object.fromEntries(peers) };
  return { plan: { device: 'flannel.1' }, peers: [FLANNEL, OURS], counters } as unknown as Overlay;
}

t.test('a peer is heard when its counter grows; the probes of a Ripstop node do not count (J11)', async t => {
  const heard = new HeardPeers();
  const has = () => [FLANNEL, OURS].map(each => heard.has('flannel.1', each));
  heard.sample([overlayWith({ flannel: 10, ours: 10 })]);
  t.same(has(), [false, false], 'the first sample has nothing to compare with');
  heard.sample([overlayWith({ flannel: 11, ours: 12 })]);
  t.same(has(), [true, false], 'two frames may be probes');
  heard.sample([overlayWith({ flannel: 11, ours: 100 })]);
  t.same(has(), [false, true]);
  heard.sample([overlayWith({ flannel: 3, ours: 3 })]);
  t.same(has(), [false, false], 'counters that began again');
  heard.sample([overlayWith(undefined)]);
  t.same(has(), [false, false], 'the data plane of the kernel');
});

t.test('a peer that filters ICMP is not silent while its packets arrive (J11)', async t => {
  const state = probeStateOf('flannel.1', FLANNEL);
  for (let probe = 0; probe < 3; probe++)
    for (const way of [state.tunnel, state.underlay]) way.add(undefined);
  t.equal(stateOf(state, false), 'silent');
  t.equal(stateOf(state, true), 'answers');
  state.underlay.add(1);
  t.equal(
    stateOf(state, true),
    'silent in the tunnel',
    'it answers ICMP: the silence of the tunnel is a fault',
  );
});
