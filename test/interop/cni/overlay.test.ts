import { readdirSync, readFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { CHECKOUT, tool } from '../../../bench/lab/tool.ts';
import { attempt, must } from '../../../src/lab/command.ts';
import { launch } from '../../../src/lab/proc.ts';
import type { Node } from '../../../src/lab/topology.ts';
import { agentsFor, fileStoreFor, type TestAgent } from '../../fixtures/agents/agents.ts';
import { addressOf, CONTAINERD, Containerd, leftovers } from '../../fixtures/cni/cni-containerd.ts';
import { shapers } from '../../fixtures/io/shapers.ts';
import { labFor, namespaceFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/*
 * Two nodes as they are meant to be run: on each an agent and containerd, which starts containers through our plugins;
 * one node's network is that of `ripstop`, the other's is flannel's chain. Between them the overlay of the agents.
 */

const skip = skipUnless('root', 'netns', 'tun', 'ip', 'nft', 'iptables', 'iperf3', 'dnsmasq', ...CONTAINERD);

const LIMIT = 20e6;
const [ONE, TWO, LEASED] = ['one', 'two', 'leased'].map(name => `${name}-${process.pid}`) as [
  string,
  string,
  string,
];
const PORTS = { portMappings: [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }] };
const ripstop = (agent: TestAgent, runtimeConfig: object) => ({
  type: 'ripstop',
  subnetFile: agent.subnetFile,
  ipam: { dataDir: `${agent.stateDir}/networks` },
  runtimeConfig,
});
const flannel = (agent: TestAgent) => ({
  type: 'flannel',
  subnetFile: agent.subnetFile,
  dataDir: `${agent.stateDir}/flannel`,
  delegate: { isDefaultGateway: true, hairpinMode: true },
  ipam: { dataDir: `${agent.stateDir}/networks` },
});

async function setUp(t: Test) {
  const lab = labFor(t, { podsPerNode: 0 });
  // The plugins make the bridge.
  for (const { ns } of lab.nodes) ns.ip('link del cni0');
  const { agents } = agentsFor(t, lab, [...fileStoreFor(t).flags, '--ip-masq']);
  const runtimes = await Promise.all(
    agents.map(({ node, stateDir }) =>
      Containerd.start(t, node.ns, stateDir, {
        socket: `${stateDir}/cni.sock`,
        callsDir: `${stateDir}/calls`,
      }),
    ),
  );
  agents.forEach((agent, i) => {
    agent.startBehind(runtimes[i]!.view);
  });
  await Promise.all(agents.map(agent => agent.ready(1)));
  return {
    nodes: lab.nodes as [Node, Node],
    agents: agents as [TestAgent, TestAgent],
    runtimes: runtimes as [Containerd, Containerd],
  };
}

/** What a TCP service says to `hello`, asked by a machine. */
const ask = (from: Node, host: string, port: number) =>
  from.ns
    .attempt(['bash', '-c', `exec 3<>/dev/tcp/${host}/${port}; echo hello >&3; timeout 2 head -n1 <&3`])
    .stdout.trim();

t.test('pods of two nodes: overlay, host port from outside, limit', { skip }, async t => {
  const { nodes, agents, runtimes } = await setUp(t);
  const [left, right] = runtimes;
  const limits = { ingressRate: LIMIT, ingressBurst: 4e5 };
  left.configure('pods', [ripstop(agents[0], { ...PORTS, bandwidth: limits })]);
  right.configure('cbr0', [flannel(agents[1]), { type: 'portmap', capabilities: { portMappings: true } }]);
  const [one, two] = await Promise.all([left.container(ONE), right.container(TWO)]);
  const [at, from] = [addressOf(one), addressOf(two)];
  const [subnet, other] = agents.map(
    agent => /FLANNEL_SUBNET=(\d+\.\d+\.\d+\.)/.exec(readFileSync(agent.subnetFile, 'utf8'))![1]!,
  );
  t.ok(at.startsWith(subnet!) && from.startsWith(other!), `${at} and ${from}: each of its node's subnet`);
  const mtu = Number(/FLANNEL_MTU=(\d+)/.exec(readFileSync(agents[0].subnetFile, 'utf8'))![1]);
  for (const proc of [one, two]) t.match(proc.stdout, new RegExp(`mtu ${mtu} `), "the overlay's MTU");
  const ping = right.inside(TWO, 'ping', '-c2', '-W10', '-s', String(mtu - 28), at);
  t.match(ping.stdout, / 0% packet loss/, 'a full packet from pod to pod');
  t.match(ping.stdout, /ttl=62/, 'two hops');
  const back = left.inNetworkOf(ONE, ['ping', '-c1', '-W10', '-Mdo', '-s', String(mtu - 28), from]);
  t.equal(attempt(back).code, 0, 'and the other way');

  t.equal(ask(nodes[1], nodes[0].underlay[4], 8080), 'hello', 'the host port, asked by another machine');

  const program = tool('transfer');
  const server = launch(left.inNetworkOf(ONE, [program, 'receive', at, '0', '60']));
  const [, port] = await server.saying(/^listening (\d+)$/m);
  must(right.inNetworkOf(TWO, [program, 'send', at, port!, '1000000', '1', '60']));
  await server.success();
  const limited = shapers(nodes[0].ns)[`${LIMIT / 1e6}Mbit`]!;
  t.ok(limited.bytes > 1e6 && limited.heldBack > 0, `over the overlay: ${JSON.stringify(limited)}`);

  await left.kill(ONE, one);
  await right.kill(TWO, two);
  nodes.forEach(({ ns }, i) => {
    t.strictSame(leftovers(ns), [], `node ${i + 1} is as it was`);
  });
});

t.test("addresses by DHCP: containerd, the bridge plugin, Debian's dnsmasq", { skip }, async t => {
  const { nodes, agents, runtimes } = await setUp(t);
  const [{ ns: node }] = nodes;
  const lan = namespaceFor(t);
  node.ip(
    'link add lan type bridge',
    'link set lan up',
    `link add d0 type veth peer name d1 netns ${lan.name}`,
    'link set d0 master lan up',
  );
  lan.ip('link set d1 up', 'addr add 10.5.0.1/24 dev d1');
  const folder = agents[0].stateDir;
  const options = ['--no-daemon', '--conf-file=/dev/null', '--port=0', '--interface=d1', '--bind-interfaces'];
  const files = ['--user=root', `--dhcp-leasefile=${folder}/dnsmasq.leases`, '--pid-file='];
  const range = '--dhcp-range=10.5.0.10,10.5.0.20,255.255.255.0,2m';
  const server = lan.launch(['dnsmasq', ...options, ...files, '--no-ping', range]);
  t.teardown(() => server.stop());
  await server.saying(/DHCP, IP range/);
  const socket = `${folder}/dhcp.sock`;
  const daemon = node.launch([
    ...runtimes[0].view,
    ...[process.execPath, `${CHECKOUT}dist/src/cli/main.js`, 'cni', 'dhcp-daemon'],
    `-socketpath=${socket}`,
    `-statedir=${folder}/leases`,
  ]);
  t.teardown(() => daemon.stop());
  await daemon.saying(/ready/);
  const ipam = { type: 'dhcp', daemonSocketPath: socket };
  runtimes[0].configure('lan', [{ type: 'bridge', bridge: 'lan', ipam }]);
  const held = () => readFileSync(`${folder}/dnsmasq.leases`, 'utf8');
  const stored = () => readdirSync(`${folder}/leases`).filter(name => name.endsWith('.json'));
  const one = await runtimes[0].container(LEASED);
  t.match(addressOf(one), /^10\.5\.0\.(1\d|20)$/);
  t.match(held(), addressOf(one), "in the server's file");
  t.equal(stored().length, 1);
  t.match(one.stdout, /default via 10\.5\.0\.1/);
  t.equal(runtimes[0].inside(LEASED, 'ping', '-c1', '-W10', '10.5.0.1').code, 0);
  await runtimes[0].kill(LEASED, one);
  // The network has ended with the container before DEL: the server cannot be notified.
  t.strictSame(stored(), [], 'the daemon renews nothing any more');
  t.strictSame(leftovers(node), []);
});
