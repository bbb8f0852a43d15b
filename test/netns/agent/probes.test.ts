import { readFileSync } from 'node:fs';
import t from 'tap';
import type { Node } from '../../../src/lab/topology.ts';
import { PATIENCE_MS, until } from '../../../src/lab/until.ts';
import { agentsFor, fileStoreFor } from '../../fixtures/agents/agents.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/** Drops at node 2 what a filter of nft says, until it is told to stop. */
function block(node: Node, what: string): () => void {
  const rule = `table inet block {\n chain in {\n type filter hook input priority 0\n ${what} drop\n }\n}\n`;
  node.ns.must(['nft', '-f', '-'], rule);
  return () => node.ns.must(['nft', 'delete', 'table', 'inet', 'block']);
}

t.test(
  'each peer is probed through the tunnel and over the underlay, and silence is logged once',
  { skip: skipUnless('root', 'netns', 'tun', 'nft', 'curl') },
  async t => {
    const lab = labFor(t, { nodes: 3 });
    const store = fileStoreFor(t, { EnableIPv6: true, IPv6Network: 'fd00:10:244::/48' });
    const flags = ['--probe-interval=1', '--metrics-address=127.0.0.1:8081'];
    const { agents } = agentsFor(t, lab, [...store.flags, ...flags]);
    for (const agent of agents) {
      agent.rememberSubnet();
      agent.start();
    }
    await Promise.all(agents.map(agent => agent.ready(2)));
    const agent = agents[0]!;
    const [one, two] = lab.nodes as [Node, Node];
    const peers = () => agent.ask('/peers');
    const silent = async () => (await agent.ask('/status')).overlays.map(overlay => overlay.silentPeers);
    const said = (text: string) => readFileSync(agent.log, 'utf8').split(text).length - 1;

    await until('probes of both families', async () =>
      (await peers()).every(({ health }) => health?.tunnel && health.tunnel.probes > 1),
    );
    for (const { id, device, health } of await peers())
      for (const way of [health!.tunnel!, health!.underlay])
        t.ok(way.rttMs! > 0, `${id} by ${device}: ${JSON.stringify(way)}`);

    const open = block(two, 'ip saddr 172.31.0.1 udp dport 8472');
    await until('the tunnel silent', async () => (await silent()).join() === '1,0', PATIENCE_MS, 200);
    await until(
      'it told',
      () => said('1 peer is answering over the underlay and not through the tunnel: node2') === 1,
    );
    const metrics = one.ns.must(['curl', '-s', 'http://127.0.0.1:8081/metrics']);
    const metric = (name: string, path: string) => {
      const labels = `device="flannel.1",peer="10.244.2.0-24[^"]*",address="172.31.0.2",path="${path}"`;
      return Number(new RegExp(`^ripstop_peer_${name}{${labels}} (.+)$`, 'm').exec(metrics)?.[1]);
    };
    t.equal(metric('loss_ratio', 'underlay'), 0);
    t.ok(metric('loss_ratio', 'tunnel') > 0.1);
    t.ok(metric('rtt_seconds', 'underlay') > 0);
    t.match(metrics, 'ripstop_peers_unreachable{device="flannel.1"} 1\n');
    open();
    await until('it answers', async () => (await silent()).join() === '0,0', PATIENCE_MS, 200);
    await until('that told', () => said('1 peer is reachable again: node2') === 1);

    const close = block(two, 'ip saddr 172.31.0.1');
    await until('all of it silent', async () => (await silent()).join() === '1,0', PATIENCE_MS, 200);
    await until(
      'it told',
      () => said('1 peer is silent, over the underlay and through the tunnel: node2') === 1,
    );
    close();
    t.equal((await agent.ask('/status')).ready, true, 'a silent peer does not make the node not ready');
    const { drops } = await agent.ask('/drops');
    t.same(
      drops.filter(({ reason }) => reason !== 'multicast'),
      [],
      'probes are not counted as drops',
    );
  },
);
