import t from 'tap';
import type { Node } from '../../../src/lab/topology.ts';
import { until } from '../../../src/lab/until.ts';
import { agentsFor, fileStoreFor, type TestAgent } from '../../fixtures/agents/agents.ts';
import { findingsOf, traceOn } from '../../fixtures/agents/ask.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/*
 * Other firewalls and settings on a node, each of which drops packets of pods. What iptables drops and what a setting drops
 * is repaired. A table of nftables cannot be overruled from another table: doctor and trace name the rule, and the
 * command that doctor proposes makes the traffic flow.
 */

const SKIP = { skip: skipUnless('root', 'netns', 'tun', 'nft', 'iptables', 'ip6tables') };
const LEGACY = { skip: SKIP.skip || skipUnless('iptables-legacy', 'ip6tables-legacy') };

interface Cluster {
  readonly one: Node;
  readonly two: Node;
  /** The agent of node 2, whose firewall is the subject. */
  readonly agent: TestAgent;
  readonly flows: () => boolean;
}

/** @param before made on node 2 before its agent starts */
async function cluster(
  t: Parameters<typeof labFor>[0],
  flags: readonly string[],
  before: (node: Node) => void = () => {},
): Promise<Cluster> {
  const lab = labFor(t);
  const store = fileStoreFor(t);
  const { agents } = agentsFor(t, lab, [...store.flags, ...flags]);
  const [one, two] = lab.nodes as [Node, Node];
  before(two);
  for (const agent of agents) {
    agent.rememberSubnet();
    agent.start();
  }
  await Promise.all(agents.map(agent => agent.ready(1)));
  const flows = (): boolean =>
    one.pods[0]!.ns.attempt(['ping', '-c1', '-W1', two.pods[0]!.address[4]]).code === 0;
  return { one, two, agent: agents[1]!, flows };
}

const ends = ({ one, two }: Cluster) => [two.pods[0]!.address[4], one.pods[0]!.address[4]] as const;

for (const [name, script, command] of [
  [
    "firewalld's table",
    `table inet firewalld {
 chain filter_FORWARD {
  type filter hook forward priority filter + 10
  ct state { established, related } accept
  reject with icmpx admin-prohibited
 }
}
`,
    undefined,
  ],
  [
    'an nftables.conf of its own with policy drop',
    'table inet filter {\n chain forward {\n type filter hook forward priority 0; policy drop\n }\n}\n',
    /^nft insert rule inet filter forward ip saddr 10\.244\.0\.0\/16 accept; nft insert rule inet filter forward ip daddr 10\.244\.0\.0\/16 accept/,
  ],
] as const)
  t.test(`${name}: doctor and trace name the rule that drops packets of pods`, SKIP, async t => {
    const nodes = await cluster(t, []);
    const { two, agent, flows } = nodes;
    await until('traffic', flows);
    t.same(findingsOf(agent, 'firewall-drops'), []);
    t.match(traceOn(agent, ...ends(nodes)), { outcome: 'forwarded' });
    two.ns.must(['nft', '-f', '-'], script);
    t.notOk(flows(), 'the rule drops');
    const findings = findingsOf(agent, 'firewall-drops');
    t.match(findings, [{ severity: 'fault', what: / drops packets between pods/ }]);
    const answer = traceOn(agent, ...ends(nodes));
    t.equal(answer.outcome, 'dropped');
    t.match(answer.steps.at(-1), {
      step: 'firewall',
      ok: false,
      text: /^this rule can drop it: nftables table inet/,
    });
    if (!command) {
      t.match(findings[0]!.remedy, /^firewall-cmd --permanent --zone=trusted --add-source=10\.244\.0\.0\/16/);
      return;
    }
    t.match(findings[0]!.remedy, command);
    for (const line of findings[0]!.remedy.split('; ').slice(0, 2)) two.ns.must(line.split(' '));
    await until('traffic after the proposed commands', flows);
    t.same(findingsOf(agent, 'firewall-drops'), []);
    t.match(traceOn(agent, ...ends(nodes)), { outcome: 'forwarded' });
  });

t.test('a rule that may drop a packet is shown as possible, and is not a fault', SKIP, async t => {
  const nodes = await cluster(t, []);
  const { two, agent, flows } = nodes;
  two.ns.must(
    ['nft', '-f', '-'],
    'table inet f {\n chain c {\n type filter hook forward priority 0\n limit rate over 900/second drop\n }\n}\n',
  );
  await until('traffic', flows);
  t.same(findingsOf(agent, 'firewall-drops'), []);
  const answer = traceOn(agent, ...ends(nodes));
  t.match(answer, { outcome: 'unknown', departure: { peer: 'node1' } });
  t.match(
    answer.steps.find(({ step }) => step === 'firewall'),
    {
      ok: true,
      certain: false,
      text: /^this rule can drop it: nftables table inet f, chain c: .*; it depends on/,
    },
  );
});

const drop = (program: string) => (node: Node) => {
  node.ns.must([program, '-A', 'FORWARD', '-j', 'REJECT']);
};
for (const [name, skip, flags, before] of [
  ['a trailing REJECT of iptables, rules with nftables', SKIP, [], drop('iptables')],
  [
    'a trailing REJECT of iptables, rules with iptables',
    SKIP,
    ['--traffic-manager=iptables'],
    drop('iptables'),
  ],
  ['a trailing REJECT of the other iptables, rules with nftables', LEGACY, [], drop('iptables-legacy')],
  ...(['nftables', 'iptables'] as const).map(
    tool =>
      [
        `policy DROP of the other iptables, rules with ${tool}`,
        LEGACY,
        [`--traffic-manager=${tool}`],
        (node: Node) => void node.ns.must(['iptables-legacy', '-P', 'FORWARD', 'DROP']),
      ] as const,
  ),
] as const)
  t.test(`${name}: packets of pods are accepted before it`, skip, async t => {
    const { agent, flows } = await cluster(t, flags, before);
    await until('traffic', flows);
    t.same(findingsOf(agent, 'firewall-drops'), []);
  });

for (const tool of ['nftables', 'iptables'] as const)
  t.test(`a REJECT put in front of ours, rules with ${tool}: ours are first again`, SKIP, async t => {
    const { two, flows, agent } = await cluster(t, [`--traffic-manager=${tool}`]);
    await until('traffic', flows);
    for (let turn = 0; turn < 2; turn++) {
      two.ns.must(['iptables', '-I', 'FORWARD', '-j', 'REJECT']);
      await until('traffic again', flows);
    }
    t.same(findingsOf(agent, 'firewall-drops'), []);
    const [first] = two.ns.must(['iptables', '-S', 'FORWARD']).split('\n').slice(1);
    t.match(first, /-j RIPSTOP-FWD$/);
  });

t.test('a network policy in front of ours stays in front', SKIP, async t => {
  const { two, flows } = await cluster(t, ['--traffic-manager=iptables']);
  const pod = two.pods[0]!.address[4];
  two.ns.must(['iptables', '-N', 'POLICY']);
  two.ns.must(['iptables', '-A', 'POLICY', '-d', pod, '-j', 'REJECT']);
  two.ns.must(['iptables', '-I', 'FORWARD', '-j', 'POLICY']);
  t.notOk(flows());
  // The agent compares the rules when the table changes next, at the latest after its interval: a marker shows that.
  two.ns.must([
    'iptables',
    '-D',
    'FORWARD',
    '-j',
    'RIPSTOP-FWD',
    '-m',
    'comment',
    '--comment',
    'ripstop forward',
  ]);
  await until('a comparison', () => two.ns.must(['iptables', '-S', 'FORWARD']).includes('RIPSTOP-FWD'));
  two.ns.must(['iptables', '-D', 'FORWARD', '-j', 'POLICY']);
  two.ns.must(['iptables', '-I', 'FORWARD', '-j', 'POLICY']);
  two.ns.must(['iptables', '-t', 'mangle', '-F', 'RIPSTOP-GUARD-IN']);
  await until('another comparison', () =>
    two.ns.must(['iptables', '-t', 'mangle', '-S', 'RIPSTOP-GUARD-IN']).includes('--dport'),
  );
  t.match(two.ns.must(['iptables', '-S', 'FORWARD']).split('\n')[1], /-j POLICY$/);
  t.notOk(flows(), 'the policy still applies');
});

for (const [name, before, broken] of [
  [
    'of the overlay device, taken from the default',
    (node: Node) => node.ns.sysctl('net.ipv4.conf.default.forwarding=0'),
    undefined,
  ],
  ['of the overlay device', undefined, 'net/ipv4/conf/flannel.1/forwarding=0'],
  ['of the bridge', undefined, 'net/ipv4/conf/cni0/forwarding=0'],
] as const)
  t.test(`forwarding ${name} is off: the agent switches it on`, SKIP, async t => {
    const { two, agent, flows } = await cluster(t, [], before);
    if (broken) {
      await until('traffic', flows);
      two.ns.sysctl(broken);
    }
    await until('traffic', flows);
    t.same(findingsOf(agent, 'forwarding-off'), []);
  });
