import { readdirSync, writeFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { loadPlugin } from '../../../src/cni/plugins.ts';
import { serveCni } from '../../../src/cni/shim/serve.ts';
import { kernelNamespaces } from '../../../src/cni/skel/namespace.ts';
import { until } from '../../../src/lab/until.ts';
import { CniNode } from '../../fixtures/cni/cni.ts';
import { addressOf, CONTAINERD, Containerd, leftovers } from '../../fixtures/cni/cni-containerd.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/*
 * One node: what the plugins do for a real runtime. Two nodes and their overlay are in cni-overlay.
 */

const skip = skipUnless('root', 'netns', 'ip', 'nft', ...CONTAINERD);

// runc's directory is one for all containers of the machine.
const [ONE, TWO] = [`one-${process.pid}`, `two-${process.pid}`];
const ENV =
  'FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.3.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=false\n';

async function setUp(t: Test, standalone = false) {
  const lab = new CniNode(t);
  const at = (name: string) => `${lab.scratch}/${name}`;
  const install = { socket: at('cni.sock'), callsDir: at('calls'), standalone };
  const runtime = await Containerd.start(t, lab.node, lab.scratch, install);
  writeFileSync(at('subnet.env'), ENV);
  return { lab, at, runtime };
}

/** The agent's CNI side in this process, on the node's namespace. */
function agentOf(lab: CniNode, at: (name: string) => string) {
  const log: string[] = [];
  const host = {
    clock: () => performance.now(),
    netns: lab.node.path,
    namespaces: kernelNamespaces,
    log: (line: string) => void log.push(line),
    own: loadPlugin,
    agent: { trouble: () => undefined },
  };
  return {
    log,
    /** @returns what ends it */
    start: async () => {
      const server = await serveCni(at('cni.sock'), host, at('calls'));
      return () => server.close();
    },
  };
}

t.test("containerd with flannel's chain, installed for a node without an agent", { skip }, async t => {
  const { lab, at, runtime } = await setUp(t, true);
  runtime.configure('cbr0', [
    {
      type: 'flannel',
      subnetFile: at('subnet.env'),
      dataDir: at('flannel'),
      delegate: { isDefaultGateway: true, hairpinMode: true },
      ipam: { dataDir: at('networks') },
    },
    { type: 'portmap', capabilities: { portMappings: true } },
    { type: 'tuning', sysctl: { 'net.core.somaxconn': '511' }, dataDir: at('tuning') },
  ]);
  const one = await runtime.container(ONE);
  const two = await runtime.container(TWO);
  t.match(one.stdout, /mtu 1450/);
  t.match(one.stdout, /default via 10\.244\.3\.1/);
  t.match(one.stdout, /10\.244\.0\.0\/16 via 10\.244\.3\.1/);
  t.equal(runtime.inside(TWO, 'ping', '-c1', '-W10', addressOf(one)).code, 0, 'pod to pod');
  t.equal(runtime.inside(ONE, 'cat', '/proc/sys/net/core/somaxconn').stdout.trim(), '511');
  await runtime.kill(ONE, one);
  t.equal(runtime.inside(TWO, 'ping', '-c1', '-W10', '10.244.3.1').code, 0, 'the other one stays');
  await runtime.kill(TWO, two);
  t.strictSame(leftovers(lab.node), []);
});

t.test('containerd with the ripstop plugin and the agent: host port and limit', { skip }, async t => {
  const { lab, at, runtime } = await setUp(t);
  const agent = agentOf(lab, at);
  const stop = await agent.start();
  t.teardown(stop);
  const own = (runtimeConfig: object) =>
    runtime.configure('pods', [
      { type: 'ripstop', subnetFile: at('subnet.env'), ipam: { dataDir: at('networks') }, runtimeConfig },
    ]);
  // `ctr` has no option for ports; the configuration of the first pod has what a runtime would pass.
  own({
    portMappings: [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }],
    bandwidth: { ingressRate: 8e6, ingressBurst: 8e5, egressRate: 8e6, egressBurst: 8e5 },
  });
  const one = await runtime.container(ONE);
  t.match(lab.node.ip('link show'), /bwp[0-9a-f]+/);
  const talk = lab.node.attempt([
    'bash',
    '-c',
    'exec 3<>/dev/tcp/127.0.0.1/8080; echo hello >&3; timeout 2 head -n1 <&3',
  ]);
  t.equal(talk.stdout.trim(), 'hello', 'by the host port');
  own({});
  const two = await runtime.container(TWO);
  t.equal(runtime.inside(TWO, 'ping', '-c1', '-W10', addressOf(one)).code, 0, 'pod to pod');
  own({
    portMappings: [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }],
    bandwidth: { ingressRate: 8e6, ingressBurst: 8e5, egressRate: 8e6, egressBurst: 8e5 },
  });
  await runtime.kill(ONE, one);
  await runtime.kill(TWO, two);
  t.strictSame(leftovers(lab.node), []);
});

t.test(
  'containerd deletes while no agent runs: the next start frees address and host port',
  { skip },
  async t => {
    const { lab, at, runtime } = await setUp(t);
    const agent = agentOf(lab, at);
    const stop = await agent.start();
    const runtimeConfig = { portMappings: [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }] };
    runtime.configure('pods', [
      { type: 'ripstop', subnetFile: at('subnet.env'), ipam: { dataDir: at('networks') }, runtimeConfig },
    ]);
    const name = `away-${process.pid}`;
    const pod = await runtime.container(name);
    const held = () => readdirSync(at('networks/pods')).filter(one => /^\d/.test(one));
    t.strictSame(held(), [addressOf(pod)]);
    await stop();
    await runtime.kill(name, pod);
    t.notMatch(pod.stderr, /fail|error/i, 'the runtime was told that it succeeded');
    t.strictSame(held(), [addressOf(pod)], 'nothing is freed yet');
    t.match(
      readdirSync(at('calls')).filter(one => one.endsWith('.call')),
      [/^DEL-[0-9a-f]{32}\.call$/],
    );
    const stopAgain = await agent.start();
    await until('the record is completed', () => /completed the recorded/.test(agent.log.join('\n')));
    t.strictSame(held(), []);
    t.strictSame(leftovers(lab.node), []);
    t.match(
      agent.log.join('\n'),
      new RegExp(`completed the recorded DEL of ripstop for eth0 of container \\S*${name} in`),
    );
    const again = await runtime.container(name);
    t.match(addressOf(again), /^10\.244\.3\./, 'the same name is wired again');
    await runtime.kill(name, again);
    await stopAgain();
  },
);
