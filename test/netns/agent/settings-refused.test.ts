import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { installCni } from '../../../src/cni/install.ts';
import type { Node } from '../../../src/lab/topology.ts';
import { until } from '../../../src/lab/until.ts';
import { agentsFor, fileStoreFor, type TestAgent } from '../../fixtures/agents/agents.ts';
import { configurationOf, MAIN, startRun } from '../../fixtures/agents/run-node.ts';
import { readOutput } from '../../fixtures/json-output.ts';
import { labFor, namespaceFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/*
 * Nodes whose /proc/sys is read-only, as container runtimes and systemd's ProtectKernelTunables=yes mount it. A device
 * that the agent has just created never has the desired sysctls.
 */

const SKIP = { skip: skipUnless('root', 'netns', 'tun', 'nft') };
const READ_ONLY = [
  'unshare',
  '--mount',
  '--propagation',
  'slave',
  'sh',
  '-c',
  'mount --bind -o ro /proc/sys /proc/sys && exec "$@"',
  'sh',
];
const DUAL = { EnableIPv6: true, IPv6Network: 'fd00:10:244::/48' };

const linesOf = (log: string, part: string) => log.split('\n').filter(line => line.includes(part));

t.test('ripstop run, /proc/sys read-only, carries packets and names each setting once', SKIP, async t => {
  const lab = labFor(t);
  const [one, two] = lab.nodes as [Node, Node];
  const procs = lab.nodes.map((node, at) => {
    const configuration = configurationOf(node, [at === 0 ? two : one]);
    return startRun(node.ns, '-', READ_ONLY, JSON.stringify(configuration));
  });
  for (const proc of procs) await proc.saying(/"ready":true/);
  for (const family of [4, 6] as const) {
    const ping = ['ping', '-c1', '-W1', two.pods[0]!.address[family]];
    await until('traffic', () => one.pods[0]!.ns.attempt(ping).code === 0);
  }
  // One comparison at least comes after the start.
  one.ns.ip('link set flannel.1 txqueuelen 500');
  await procs[0]!.saying(/"repair":"[a-z-]+","msg":"repaired: /);
  t.match(await procs[0]!.stop(), { code: 0 });
  const { stderr } = procs[0]!;
  for (const name of ['accept_ra', 'addr_gen_mode']) {
    const lines = linesOf(stderr, `net/ipv6/conf/flannel.1/${name} cannot be set`);
    t.equal(lines.length, 1, stderr);
    t.match(lines[0], /read-only here \(EROFS\); without it, flannel\.1 sends router/);
  }
  t.notMatch(stderr, /"level":"error"|cannot remove or restore a route/);
  await procs[1]!.stop();
});

/** Adds a pod with the CNI executable, which calls the agent. */
function addPod(agent: TestAgent, binDir: string, pod: string, id: string) {
  const network = {
    cniVersion: '1.0.0',
    name: 'pods',
    type: 'ripstop',
    subnetFile: agent.subnetFile,
    // The bridge of the lab has a pod with the first address.
    bridge: 'rsbr0',
    ipam: { dataDir: join(agent.stateDir, 'networks') },
    capabilities: { portMappings: true },
    runtimeConfig: { portMappings: [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }] },
  };
  const input = join(agent.stateDir, 'network.json');
  writeFileSync(input, JSON.stringify(network));
  const names = { COMMAND: 'ADD', CONTAINERID: id, NETNS: pod, IFNAME: 'eth0', PATH: binDir };
  const variables = Object.entries(names).map(([name, value]) => `CNI_${name}=${value}`);
  return agent.node.ns.attempt(['env', ...variables, 'sh', '-c', `exec ${binDir}/ripstop < ${input}`]);
}

t.test('agent, /proc/sys read-only, carries packets, wires pods and says what is refused', SKIP, async t => {
  const lab = labFor(t);
  const store = fileStoreFor(t, DUAL);
  const { agents } = agentsFor(t, lab, [...store.flags, '--ip-masq']);
  const [one, two] = lab.nodes as [Node, Node];
  const agent = agents[0]!;
  for (const each of agents) {
    each.rememberSubnet();
    each.startBehind(READ_ONLY);
  }
  const statuses = await Promise.all(agents.map(each => each.ready(1)));
  for (const family of [4, 6] as const) {
    const ping = ['ping', '-c1', '-W1', two.pods[0]!.address[family]];
    await until('traffic', () => one.pods[0]!.ns.attempt(ping).code === 0);
  }
  t.strictSame(
    statuses[0]!.refusedSysctls.map(({ name }) => name.split('/').pop()),
    ['accept_ra', 'addr_gen_mode', 'accept_ra', 'addr_gen_mode'],
    'of each device',
  );

  const binDir = join(agent.stateDir, 'bin');
  mkdirSync(binDir);
  installCni({ binDir, socket: join(agent.stateDir, 'cni.sock') });
  const pod = namespaceFor(t);
  const added = addPod(agent, binDir, pod.path, 'c1');
  t.equal(added.code, 0, added.stdout);
  t.match(pod.must(['ip', '-6', 'addr', 'show', 'dev', 'eth0']), 'fd00:10:244:');
  const settings = (await agent.ready(1)).refusedSysctls.map(({ name }) => name);
  for (const name of ['cni0/route_localnet', 'eth0/keep_addr_on_down', 'flannel.1/accept_ra'])
    t.equal(linesOf(readFileSync(agent.log, 'utf8'), `${name} cannot be set`).length, 1, name);

  const doctor = one.ns.attempt([process.execPath, MAIN, 'doctor', '--socket', agent.socket, '--json']);
  const { findings } = readOutput('ripstop-doctor/1', doctor.stdout);
  t.equal(findings.filter(({ kind }) => kind === 'setting-refused').length, settings.length, settings.join());
  t.notMatch(doctor.stdout, 'kernel-drift');
  t.match(
    one.ns.must([process.execPath, MAIN, 'status', '--socket', agent.socket]),
    /settings +refused: net/,
  );
});

t.test(
  'agent, ip_forward 0 and not writable, names it, carries IPv6 and is ready once it is set',
  SKIP,
  async t => {
    const lab = labFor(t);
    const store = fileStoreFor(t, DUAL);
    const { agents } = agentsFor(t, lab, store.flags);
    const [one, two] = lab.nodes as [Node, Node];
    one.ns.sysctl('net.ipv4.ip_forward=0');
    for (const each of agents) {
      each.rememberSubnet();
      each.startBehind(READ_ONLY);
    }
    await agents[1]!.ready(1);
    const ping = (family: 4 | 6) =>
      one.pods[0]!.ns.attempt(['ping', '-c1', '-W1', two.pods[0]!.address[family]]).code === 0;
    await until('IPv6 traffic', () => ping(6));
    const reasons = async () => (await agents[0]!.ask('/status')).reasons.join('; ');
    await until('the reason', async () => (await reasons()).includes('ip_forward'));
    t.match(await reasons(), /set net\/ipv4\/ip_forward = 1: \/proc\/sys is read-only here \(EROFS\)/);
    t.notOk(ping(4));
    one.ns.sysctl('net.ipv4.ip_forward=1');
    await agents[0]!.ready(1);
    await until('IPv4 traffic', () => ping(4));
  },
);
