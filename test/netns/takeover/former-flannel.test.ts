import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { Node } from '../../../src/lab/topology.ts';
import { until } from '../../../src/lab/until.ts';
import { agentsFor, fileStoreFor } from '../../fixtures/agents/agents.ts';
import { cleanUpAfter, findingsOf } from '../../fixtures/agents/ask.ts';
import { FlannelNode } from '../../fixtures/agents/flannel-node.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/* What flanneld left on a node: its routes and rules are taken over or removed, its memory of the subnet stays. */

const SKIP = { skip: skipUnless('root', 'netns', 'tun', 'nft', 'iptables') };

const routes = (node: Node): string[] =>
  node.ns
    .must(['ip', 'route'])
    .split('\n')
    .filter(line => line.startsWith('10.244.') && !line.includes('cni0'));

/** Routes as flannel makes them for two nodes, of which one has left. */
const PLAIN = [
  'route add 10.244.2.0/24 via 172.31.0.2 dev eth0',
  'route add 10.244.9.0/24 via 172.31.0.9 dev eth0',
];

for (const [name, config, flags] of [
  ['host-gw', { Backend: { Type: 'host-gw' } }, []],
  ['vxlan with DirectRouting', { Backend: { Type: 'vxlan', DirectRouting: true } }, []],
  ['vxlan with the data plane of the kernel', {}, ['--data-plane=kernel']],
] as const)
  t.test(
    `${name}: routes that flannel made become ours, and go with the lease of their node`,
    { skip: SKIP.skip || (flags.length > 0 && skipUnless('vxlan')) },
    async t => {
      const lab = labFor(t);
      const store = fileStoreFor(t, config);
      const { agents } = agentsFor(t, lab, [...store.flags, ...flags]);
      const [one] = lab.nodes as [Node, Node];
      const [agent, other] = agents as [(typeof agents)[0], (typeof agents)[0]];
      for (const each of agents) each.rememberSubnet();
      other.start();
      await other.ready(0);
      const lease = join(store.path, 'subnets', '10.244.2.0-24');
      if (flags.length === 0) one.ns.ip(...PLAIN);
      else {
        const flannel = new FlannelNode(one, '0a:58:fd:00:00:01');
        flannel.learn('10.244.2.0-24', readFileSync(lease, 'utf8'));
        flannel.learn('10.244.9.0-24', readFileSync(lease, 'utf8'));
      }
      // A person's route into the pod network, in a form that flannel does not use.
      one.ns.ip('route add 10.244.200.0/24 via 172.31.0.9 dev eth0 proto static');
      t.match(agent.plan(), "(becomes Ripstop's)");
      t.match(agent.plan(), '- route 10.244.9.0/24');
      agent.start();
      await agent.ready(1);
      t.match(routes(one).join('\n'), /^10\.244\.2\.0\/24 .*proto 114/m, 'the route is ours');
      t.notMatch(routes(one).join('\n'), '10.244.9.0/24', 'the route to a node that had left is gone');
      t.match(routes(one).join('\n'), '10.244.200.0/24');
      await other.stop();
      rmSync(lease);
      await agent.ready(0);
      await until('the route gone', () => routes(one).length === 1);
      t.match(routes(one)[0], '10.244.200.0/24', 'what is not of flannel stays');
    },
  );

t.test('cleanup --flannel removes routes of flannel, without an agent before', SKIP, async t => {
  const lab = labFor(t);
  const store = fileStoreFor(t, { Backend: { Type: 'host-gw' } });
  const { agents } = agentsFor(t, lab, store.flags);
  const [one] = lab.nodes as [Node];
  const agent = agents[0]!;
  agent.rememberSubnet();
  one.ns.ip(...PLAIN, 'route add blackhole 10.244.7.0/24');
  t.notMatch(cleanUpAfter(agent), 'route', 'without the flag they stay');
  t.equal(routes(one).length, 2);
  const removed = cleanUpAfter(agent, '--flannel');
  for (const destination of ['10.244.2.0/24', '10.244.9.0/24', '10.244.7.0/24'])
    t.match(removed, `removed route ${destination}`);
  t.same(routes(one), []);
});

t.test('one command removes the rules of flannel while the agent runs', SKIP, async t => {
  const lab = labFor(t);
  const store = fileStoreFor(t);
  const { agents } = agentsFor(t, lab, [...store.flags, '--ip-masq']);
  for (const agent of agents) {
    agent.rememberSubnet();
    agent.start();
  }
  await Promise.all(agents.map(agent => agent.ready(1)));
  const [one] = lab.nodes as [Node, Node];
  const agent = agents[0]!;
  one.ns.must(['nft', '-f', '-'], 'table ip flannel-ipv4 {\n}\ntable ip6 flannel-ipv6 {\n}\n');
  const chains =
    '*nat\n:FLANNEL-POSTRTG - [0:0]\n-A POSTROUTING -j FLANNEL-POSTRTG\nCOMMIT\n' +
    '*filter\n:FLANNEL-FWD - [0:0]\n-A FORWARD -j FLANNEL-FWD\nCOMMIT\n';
  const variants = skipUnless('iptables-legacy-restore') ? ['iptables'] : ['iptables', 'iptables-legacy'];
  for (const program of variants) one.ns.must([`${program}-restore`, '--noflush'], chains);
  const [finding] = findingsOf(agent, 'masquerade-wrong');
  t.match(finding?.remedy, 'ripstop cleanup --flannel-rules');
  const status = await agent.ask('/status');
  const removed = cleanUpAfter(agent, '--flannel-rules');
  t.match(removed, 'removed nftables table ip flannel-ipv4');
  for (const program of variants) {
    t.match(removed, `removed ${program} chain FLANNEL-FWD`);
    t.notMatch(one.ns.must([`${program}-save`]), /FLANNEL/);
  }
  t.same(findingsOf(agent, 'masquerade-wrong'), []);
  t.match(one.ns.must(['nft', 'list', 'ruleset']), /table inet ripstop/, 'the rules of the agent stay');
  const after = await agent.ask('/status');
  t.match(after, { ready: true, networkStarts: status.networkStarts });
  t.equal(after.overlays[0]!.mac, status.overlays[0]!.mac);
  t.equal(cleanUpAfter(agent, '--flannel-rules'), 'nothing to remove\n');
  t.throws(() => cleanUpAfter(agent, '--flannel'), /an agent runs/, 'everything else needs a stopped agent');
});

t.test('cleanup keeps subnet.env where the node holds its subnet, and only there', SKIP, async t => {
  const lab = labFor(t);
  const store = fileStoreFor(t);
  const { agents } = agentsFor(t, lab, store.flags);
  const agent = agents[0]!;
  agent.rememberSubnet();
  agent.start();
  await agent.ready(0);
  await until('the saved state', () => existsSync(join(agent.stateDir, 'last-known.json')));
  await agent.stop();
  const saved = readFileSync(join(agent.stateDir, 'last-known.json'));
  t.match(cleanUpAfter(agent), /kept \S+subnet\.env: this node holds 10\.244\.1\.0\/24/);
  t.match(readFileSync(agent.subnetFile, 'utf8'), 'FLANNEL_SUBNET=10.244.1.1/24');
  t.match(cleanUpAfter(agent), /^nothing to remove\nkept /, 'a second cleanup keeps it as well');
  // The node holds another subnet than the file names.
  writeFileSync(
    join(agent.stateDir, 'last-known.json'),
    saved.toString().replaceAll('10.244.1.0', '10.244.8.0'),
  );
  t.match(cleanUpAfter(agent), `removed ${agent.subnetFile}`);
  t.notOk(existsSync(agent.subnetFile));
});
