import { readFileSync } from 'node:fs';
import t from 'tap';
import { CHECKOUT } from '../../../bench/lab/tool.ts';
import { transfer } from '../../../bench/lab/transfer.ts';
import type { Node } from '../../../src/lab/topology.ts';
import { until } from '../../../src/lab/until.ts';
import { agentsFor, fileStoreFor, type TestAgent } from '../../fixtures/agents/agents.ts';
import { middleNodeFor } from '../../fixtures/io/middle-node.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/*
 * Trains of UDP_SEGMENT pass a node in the middle, which receives them whole and cuts them, rightly or not. Towards the peer
 * whose trains it cuts wrongly the offload goes off, and comes back.
 */

const SKIP = { skip: skipUnless('root', 'netns', 'tun', 'nft', 'ip', 'curl') };
const BYTES = 20e6;

/** Packets that the stack of a node refused because nothing there has their protocol. */
function unknownProtocols({ ns }: Node): number {
  const rows = ns.must(['cat', '/proc/net/snmp']).split('\n');
  const [names, values] = rows.filter(row => row.startsWith('Ip:')).map(row => row.split(' '));
  return Number(values?.[names!.indexOf('InUnknownProtos')]);
}

const segmentation = async (agent: TestAgent, peer: number) =>
  (await agent.ask('/peers')).find(({ node }) => node === `node${peer}`)?.segmentation;
const stateOf = async (agent: TestAgent, peer: number) => (await segmentation(agent, peer))?.state;

t.test('vxlan: a peer behind a wrong cut loses the offload, the others keep it', SKIP, async t => {
  const lab = labFor(t, { nodes: 4 });
  const middle = middleNodeFor(t, lab, 'vxlan');
  const store = fileStoreFor(t);
  const { agents } = agentsFor(t, lab, [...store.flags, '--metrics-address=127.0.0.1:8081']);
  for (const agent of agents) {
    agent.rememberSubnet();
    agent.start(`--offload-proof-interval=${agent === agents[3] ? 0 : 1}`);
  }
  await Promise.all(agents.map(agent => agent.ready(3)));
  const [one, two, , silent] = agents as [TestAgent, TestAgent, TestAgent, TestAgent];
  const [from] = lab.nodes;
  const carry = async (to: number, seed: number): Promise<number> => {
    const before = middle.podTrains(to);
    const pod = lab.nodes[to]!.pods[0]!;
    const ends = { from: from!.pods[0]!.ns, to: pod.ns, address: pod.address[4] };
    t.ok((await transfer({ ...ends, bytes: BYTES, seed })).intact, `TCP to node ${to + 1} arrives by hash`);
    return middle.podTrains(to) - before;
  };

  for (const [agent, peer] of [
    [one, 2],
    [one, 3],
    [two, 1],
  ] as const)
    await until(`trains to node ${peer} intact`, async () => (await stateOf(agent, peer)) === 'intact');
  t.equal(await segmentation(one, 4), null, 'a node that does not announce it is not tried');
  t.equal(await segmentation(silent, 1), null, 'and tries none');
  t.ok((await carry(1, 1)) > 0, 'TCP leaves in trains');

  middle.cut(1, 'checksums');
  await until('trains to node 2 broken', async () => (await stateOf(one, 2)) === 'broken');
  t.match(
    (await segmentation(one, 2))?.detail,
    /^trains of \d+ x \d+ bytes: \d+ datagrams never arrive, alone all do$/,
  );
  t.equal(await carry(1, 2), 0, 'no frame of a pod leaves in a train');
  t.ok((await carry(2, 3)) > 0, 'but those to node 3 do');
  t.equal(await stateOf(one, 3), 'intact', 'node 3 keeps the offload');
  t.equal(await stateOf(two, 1), 'intact', 'the way back is another one');
  const shown = lab.nodes[0]!.ns.must([
    ...[process.execPath, `${CHECKOUT}dist/src/cli/main.js`, 'peers', `--socket=${one.socket}`],
  ]);
  t.match(shown, /^node2: segmentation offload is off since .*Z:\n {2}trains of .*, alone all do\n$/m);
  t.notMatch(shown, 'node3: segmentation');
  t.comment(shown);
  const said = () => readFileSync(one.log, 'utf8');
  await until('it told', () => said().includes('segmentation offload is off towards 1 peer (node2)'));
  const metric = () => from!.ns.must(['curl', '-s', 'http://127.0.0.1:8081/metrics']);
  t.match(metric(), 'ripstop_peers_unsegmented{device="flannel.1"} 1\n');
  const { findings } = await one.ask('/doctor');
  t.match(
    findings.filter(({ kind }) => kind === 'segmentation-broken'),
    [{ severity: 'warning', what: /towards node2 is off since/ }],
  );

  middle.cut(1, 'right');
  await until('trains to node 2 intact again', async () => (await stateOf(one, 2)) === 'intact');
  await until('that told', () => said().includes('segmentation offload is on again towards 1 peer (node2)'));
  t.match(metric(), 'ripstop_peers_unsegmented{device="flannel.1"} 0\n');
  t.ok((await carry(1, 4)) > 0, 'TCP leaves in trains again');

  t.equal(middle.proofTrains(3), 0, 'no train went to the node that does not announce it');
  const received = await two.ask('/drops');
  const reasons = new Set(received.drops.map(({ reason }) => reason));
  reasons.delete('multicast');
  t.same(
    [...reasons],
    ['socket-dropped'],
    'node 2 lost the broken datagrams at its socket, and nothing else',
  );
  t.equal(unknownProtocols(lab.nodes[1]!), 0, 'no message reached the stack of node 2');
});

const VARIANTS = [
  { mode: 'udp', family: 4, how: 'lengths' },
  { mode: 'udp', family: 6, how: 'checksums' },
  { mode: 'vxlan', family: 6, how: 'lengths' },
] as const;
for (const { mode, family, how } of VARIANTS)
  t.test(`${mode} over IPv${family} alone: off and on again`, SKIP, async t => {
    const lab = labFor(t);
    const middle = middleNodeFor(t, lab, mode);
    const alone = {
      EnableIPv4: false,
      EnableIPv6: true,
      Network: undefined,
      IPv6Network: 'fd00:10:244::/48',
    };
    const store = fileStoreFor(t, { Backend: { Type: mode }, ...(family === 6 ? alone : {}) });
    const { agents } = agentsFor(t, lab, [...store.flags, '--offload-proof-interval=1']);
    for (const agent of agents) {
      agent.rememberSubnet();
      agent.start();
    }
    await Promise.all(agents.map(agent => agent.ready(1)));
    const [one] = agents as [TestAgent];
    const pod = lab.nodes[1]!.pods[0]!;
    const ends = { from: lab.nodes[0]!.pods[0]!.ns, to: pod.ns, address: pod.address[family] };
    for (const [cut, state] of [
      ['right', 'intact'],
      [how, 'broken'],
      ['right', 'intact'],
    ] as const) {
      middle.cut(1, cut);
      await until(`trains ${state}`, async () => (await stateOf(one, 2)) === state);
      const before = middle.podTrains(1);
      t.ok((await transfer({ ...ends, bytes: BYTES })).intact, `${state}: TCP arrives by hash`);
      t.equal(
        middle.podTrains(1) > before,
        state === 'intact',
        `${state}: ${middle.podTrains(1) - before} trains`,
      );
    }
  });
