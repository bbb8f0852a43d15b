import t from 'tap';
import { emitPacket, parsePacket } from '../../../../encap/offload-proof.ts';
import {
  OverlayProver,
  type ProvenOverlay,
  type ProvenPlane,
} from '../../../../src/agent/proof/overlay-prover.ts';
import type { Peer } from '../../../../src/dataplane/descriptor/peer.ts';
import { addressBytes } from '../../../../src/ip/address.ts';
import { requirePrefix } from '../../../../src/ip/prefix.ts';

/* Agents that prove offloads to each other over a wire in memory. */

const LIMITS = { packet: 1450, overhead: 22, message: 65_507 };
const SUBNETS = ['10.244.1.0/24', 'fd00:2::/64'];

interface Sent {
  readonly from: number;
  readonly to: number;
  readonly kind: string | undefined;
  readonly bytes: number;
}

const peerOf = (index: number, more: Partial<Peer> = {}): Peer => ({
  id: `node${index}`,
  address: `192.0.2.${index}`,
  subnets: [requirePrefix(`10.244.${index}.0/24`)],
  provesOffloads: true,
  ...more,
});

/** A wire with a rule for trains. */
function wireOf() {
  const nodes: ReturnType<typeof node>[] = [];
  const sent: Sent[] = [];
  const wire = {
    nodes,
    sent,
    /** What arrives of a train. */
    cut: (_from: number, _to: number, train: readonly Uint8Array[]) => train,
    add: (peers: readonly Peer[], more: { udpGso?: string; subnets?: readonly string[] } = {}) => {
      const made = node(nodes.length + 1, peers, more);
      nodes.push(made);
      return made;
    },
    run: (ms: number) => {
      for (const end = now + ms; now < end; now += 100) for (const { prover } of nodes) prover.tick(now);
    },
  };
  let now = 0;

  function node(
    index: number,
    peers: readonly Peer[],
    { udpGso = 'on', subnets }: { udpGso?: string; subnets?: readonly string[] },
  ) {
    const arrived: [string, Uint8Array][] = [];
    const switched: [string, boolean][] = [];
    const changed: string[] = [];
    const state = { peers };
    const overlay = {
      plan: { subnets: subnets ?? [`10.244.${index}.0/24`] },
      get peers() {
        return state.peers;
      },
      peer: (id: string) => state.peers.find(peer => peer.id === id),
    } as unknown as ProvenOverlay;
    const plane = {
      offloads: { udpGso },
      setSegmentation: (id: string, isOn: boolean) => switched.push([id, isOn]),
      proofs: {
        limits: () => LIMITS,
        send: (id: string, packets: readonly Uint8Array[], isTrain: boolean) => {
          const to = Number(id.slice(4));
          const [first] = packets;
          sent.push({
            ...{ from: index, to, kind: parsePacket(first!)?.message.kind },
            bytes: packets.reduce((sum, packet) => sum + packet.length, 0),
          });
          const kept = isTrain ? wire.cut(index, to, packets) : packets;
          for (const packet of kept) nodes[to - 1]?.arrived.push([`node${index}`, packet]);
          return true;
        },
        receive: (take: (id: string, packet: Uint8Array) => void) => {
          for (const [id, packet] of arrived.splice(0)) take(id, packet);
        },
      },
    } as unknown as ProvenPlane;
    const prover = new OverlayProver({
      ...{ overlay, plane, intervalMs: 10_000 },
      changed: ({ peer, state: { state: now } }) => changed.push(`${peer.id} ${now}`),
    });
    const stateOf = (id: number) => prover.of(peerOf(id))?.state;
    return { prover, arrived, switched, changed, state, stateOf };
  }
  return wire;
}

t.test('each peer is proven by itself; off, and on again', async t => {
  const wire = wireOf();
  const one = wire.add([peerOf(2), peerOf(3)]);
  const two = wire.add([peerOf(1)]);
  wire.add([peerOf(1)]);
  wire.run(4000);
  t.equal(wire.sent.length, 0, 'a new peer has time to learn of this node');
  t.equal(one.stateOf(2), 'untested');
  wire.run(10_000);
  t.same([one.stateOf(2), one.stateOf(3), two.stateOf(1)], ['intact', 'intact', 'intact']);
  t.same(one.switched, []);
  wire.cut = (from, to, train) => (from === 1 && to === 2 ? train.slice(-1) : train);
  wire.run(20_000);
  t.same([one.stateOf(2), one.stateOf(3), two.stateOf(1)], ['broken', 'intact', 'intact']);
  t.same(one.switched, [['node2', false]]);
  wire.cut = (_from, _to, train) => train;
  wire.run(20_000);
  t.same(one.switched, [
    ['node2', false],
    ['node2', true],
  ]);
  t.same(one.changed, ['node2 broken', 'node2 intact']);
});

t.test('nothing is sent to a peer that does not announce it, or that plain routes lead to', async t => {
  const wire = wireOf();
  const one = wire.add([peerOf(2, { provesOffloads: false }), peerOf(3, { direct: true })]);
  wire.add([peerOf(1)]);
  wire.add([peerOf(1)]);
  wire.run(30_000);
  const kinds = wire.sent.filter(({ from }) => from === 1).map(({ to, kind }) => `${kind} to ${to}`);
  t.same(new Set(kinds), new Set(['answer to 3']), 'answers are all that it sends');
  t.same([one.stateOf(2), one.stateOf(3)], [undefined, undefined]);
  t.equal(wire.nodes[1]!.stateOf(1), 'untested', 'who asks it gets no answer');
});

t.test('a node that sends one by one anyway answers only', async t => {
  const wire = wireOf();
  const one = wire.add([peerOf(2)], { udpGso: 'off by configuration' });
  const two = wire.add([peerOf(1)]);
  wire.run(20_000);
  t.equal(one.stateOf(2), 'untested');
  t.equal(two.stateOf(1), 'intact');
  t.same(new Set(wire.sent.filter(({ from }) => from === 1).map(({ kind }) => kind)), new Set(['answer']));
});

t.test('an answer needs the tunnel address of a peer, and is smaller than what asks for it', async t => {
  const wire = wireOf();
  const one = wire.add([peerOf(2)], { udpGso: 'not supported by this kernel' });
  const ask = (id: string, source: string, message: object) =>
    one.arrived.push([
      id,
      emitPacket({
        ...{ source: addressBytes(source), destination: addressBytes('10.244.1.0') },
        message: { kind: 'question', nonce: new Uint8Array(16), ...message } as never,
      }),
    ]);
  ask('node2', '10.244.2.7', {});
  ask('node9', '10.244.9.0', {});
  one.arrived.push(['node2', Uint8Array.of(0x45, 1, 2)], ['node2', new Uint8Array(0)]);
  wire.run(100);
  t.same(wire.sent, [], 'not from a pod, not from a stranger, not from bytes that are no message');
  ask('node2', '10.244.2.0', {});
  const { length } = one.arrived[0]![1];
  wire.run(100);
  t.same(wire.sent, [{ from: 1, to: 2, kind: 'answer', bytes: length }]);
  for (let flood = 0; flood < 500; flood++) ask('node2', '10.244.2.0', {});
  wire.run(100);
  t.ok(wire.sent.length <= 11, `${wire.sent.length} answers to a flood`);
  // Answers without a question, and places without a train.
  ask('node2', '10.244.2.0', { kind: 'answer', train: 1n, alone: 1n });
  wire.run(100);
  t.equal(one.stateOf(2), 'untested');
});

t.test('peers come, move and go', async t => {
  const wire = wireOf();
  const one = wire.add([peerOf(2), peerOf(3)]);
  for (const _ of [2, 3]) wire.add([peerOf(1)]);
  wire.cut = (from, _to, train) => (from === 1 ? [] : train);
  wire.run(15_000);
  t.same([one.stateOf(2), one.stateOf(3)], ['broken', 'broken']);
  one.state.peers = [peerOf(2, { address: '192.0.2.200' }), peerOf(3, { provesOffloads: false })];
  wire.run(1000);
  t.same([one.stateOf(2), one.stateOf(3)], ['untested', undefined], 'another address is another path');
  t.same(one.switched.at(-1), ['node3', true], 'what cannot be tried again is on as at the beginning');
  one.state.peers = [];
  wire.run(1000);
  t.equal(one.stateOf(2), undefined);
});

t.test('IPv6 pods, and no subnet of the family of the peer', async t => {
  const wire = wireOf();
  const six = (index: number) => peerOf(index, { subnets: [requirePrefix(`fd00:${index}::/64`)] });
  const one = wire.add([six(2)], { subnets: ['10.244.1.0/24', 'fd00:1::/64'] });
  wire.add([six(1)], { subnets: [SUBNETS[1]!] });
  wire.run(15_000);
  t.equal(one.stateOf(2), 'intact');
  const none = wireOf();
  const four = none.add([six(2)], { subnets: [SUBNETS[0]!] });
  none.run(15_000);
  t.same([four.stateOf(2), none.sent], [undefined, []]);
});
