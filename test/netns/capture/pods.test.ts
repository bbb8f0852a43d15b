import t, { type Test } from 'tap';
import { until } from '../../../src/lab/until.ts';
import { agentsFor, fileStoreFor, type TestAgent } from '../../fixtures/agents/agents.ts';
import { MAIN } from '../../fixtures/agents/run-node.ts';
import { AgentPod } from '../../fixtures/cni/agent-pods.ts';
import { readLines, readOutput } from '../../fixtures/json-output.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';
import { Transcript } from '../../fixtures/transcript.ts';

const commands = new Transcript('docs/guides/debug/commands.md');
const faults = new Transcript('docs/guides/debug/faults.md');

/* The names of pods, from the CNI calls of an agent to its commands. */

const skip = skipUnless('root', 'netns', 'tun', 'nft', 'ip', 'ping', 'tcpdump');
/** The reference plugins of Debian (containernetworking-plugins). */
const REFERENCE = '/usr/lib/cni';
const noReference = skip || skipUnless(`${REFERENCE}/bridge`);

/** Two nodes; pods of the first are connected by its agent. */
async function nodes(t: Test) {
  const lab = labFor(t);
  const store = fileStoreFor(t, { Backend: { Type: 'udp' } });
  // Without it the bridge masquerades what leaves the node's subnet, and a capture shows the address of the node.
  const { agents } = agentsFor(t, lab, [...store.flags, '--ip-masq']);
  for (const agent of agents) {
    agent.rememberSubnet();
    agent.start();
  }
  await Promise.all(agents.map(agent => agent.ready(1)));
  const [one, two] = lab.nodes;
  const [agent] = agents;
  const launch = (...args: string[]) =>
    one!.ns.launch([process.execPath, MAIN, ...args, '--socket', agent!.socket]);
  const say = async (...args: string[]) => launch(...args).success();
  return { one: one!, two: two!, agent: agent!, launch, say };
}

const ours = (agent: TestAgent) => ({
  ...{ type: 'ripstop', subnetFile: agent.subnetFile },
  ipam: { dataDir: `${agent.stateDir}/networks` },
});
/** Our meta plugin, which starts the reference's bridge and host-local from CNI_PATH. */
const flannel = (agent: TestAgent) => ({
  ...{ type: 'flannel', subnetFile: agent.subnetFile, dataDir: `${agent.stateDir}/flannel` },
  ipam: { dataDir: `${agent.stateDir}/reference` },
});

t.test('names: by every command, after a restart of the agent, until DEL', { skip: noReference }, async t => {
  const { two, agent, launch, say } = await nodes(t);
  const web = new AgentPod(t, agent, 'default/web-1', '10.244.1.77', ours(agent));
  const db = new AgentPod(t, agent, 'default/db-1', '10.244.1.78', flannel(agent), REFERENCE);
  await web.call('ADD');
  await db.call('ADD');
  await agent.stop();
  agent.start();
  await agent.ready(1);
  const table = await say('pods');
  t.match(table, /^10\.244\.1\.77 +default\/web-1 +\S+Z +- +eth0$/m);
  t.match(table, /^10\.244\.1\.78 +default\/db-1 +\S+Z +- +eth0$/m);
  const far = two.pods[0]!;
  const proc = launch('capture', '-p', 'egress-inner', '-c', '1', '-j', 'src', 'default/db-1');
  await proc.saying(/capturing/);
  await until('a packet', () => {
    for (const { ns } of [web, db]) ns.attempt(['ping', '-c', '1', '-W', '1', far.address[4]]);
    return proc.result !== undefined;
  });
  t.match(readOutput('ripstop-packet/1', await proc.success()), {
    ...{ format: 'ripstop-packet/1', point: 'egress-inner', direction: 'out' },
    ...{ sourcePod: 'default/db-1', destinationPod: null, packet: /^10\.244\.1\.78 > .*ICMP/ },
  });
  await until('a flow with the name', async () => {
    far.ns.attempt(['ping', '-c', '1', '-W', '1', '10.244.1.77']);
    return /icmp +\S+ +default\/web-1/.test(await say('flows', '--seconds', '1', 'dst', 'default/web-1'));
  });
  const traced = await say('trace', '--src', 'default/web-1', '--dst', far.address[4]);
  t.match(traced, /10\.244\.1\.77 > /);
  t.match(traced, 'pods default/web-1 > -');
  await db.call('DEL');
  const refused = launch('capture', 'host', 'default/db-1');
  t.not((await refused.ended).code, 0);
  t.match(refused.stderr, /pod "default\/db-1" went away at .*; no pod has its address 10\.244\.1\.78 now/);
  commands.hold(t, 'pods', `$ ripstop pods\n${await say('pods')}`);
});

t.test('a pod that went away while no agent ran has no name afterwards', { skip }, async t => {
  const { agent, say } = await nodes(t);
  const pods = [1, 2, 3].map(
    at => new AgentPod(t, agent, `default/web-${at}`, `10.244.1.7${at}`, ours(agent)),
  );
  for (const pod of pods) await pod.call('ADD');
  await agent.stop();
  // As the plugins of another program do it: the first pod loses its interface, the second its namespace.
  pods[0]!.ns.ip('link del eth0');
  pods[1]!.ns.remove();
  agent.start();
  await agent.ready(1);
  const { pods: listed } = readOutput('ripstop-pods/1', await say('pods', '-j'));
  t.strictSame(
    listed.flatMap(({ name, until }) => (until === null ? [name] : [])),
    ['web-3'],
  );
  const table = await say('pods');
  t.match(table, /default\/web-1 +\S+Z +\S+Z +eth0$/m);
  t.match(table, /default\/web-2 +\S+Z +\S+Z +eth0$/m);
  t.match(table, /default\/web-3 +\S+Z +- +eth0$/m);
});

t.test(
  'fault: an address is used again, and the losses are those of the pod of their time',
  { skip },
  async t => {
    const { agent, launch, say } = await nodes(t);
    const [former, later] = ['default/web-1', 'default/web-2'].map(
      name => new AgentPod(t, agent, name, '10.244.1.77', ours(agent)),
    );
    // The second keeps the flow table on that the first turned on.
    await say('flows', '--seconds', '1');
    const log = launch('flows', '--log');
    const follow = launch('drops', '--follow', '-j');
    const named = (name: string) =>
      linesOf(follow.stdout).filter(({ sourcePod }) => sourcePod === name).length;
    const linesOf = (text: string) => readLines('ripstop-drop/1', text.slice(0, text.lastIndexOf('\n') + 1));
    const sent = { 'default/web-1': 0, 'default/web-2': 0 };
    const lose = async (pod: AgentPod, name: keyof typeof sent) => {
      await pod.call('ADD');
      await until(`drops of ${name}`, () => {
        // No node has this subnet.
        pod.ns.attempt(['ping', '-c', '1', '-W', '1', '10.244.99.9']);
        sent[name]++;
        return named(name) > 0;
      });
    };
    await lose(former!, 'default/web-1');
    await former!.call('DEL');
    await lose(later!, 'default/web-2');
    const { flows } = readOutput('ripstop-flows/1', await say('flows', '-j', 'src', '10.244.1.77'));
    const lost = Object.fromEntries(
      flows.map(({ sourcePod, drops }: Record<string, unknown>) => [sourcePod, drops]),
    );
    t.strictSame(lost, sent, 'each pod has what it lost');
    await until('every drop of the later pod', () => named('default/web-2') === sent['default/web-2']);
    t.ok(named('default/web-1') <= sent['default/web-1'], 'none more than it sent');
    faults.hold(
      t,
      'reused-flows',
      `node1$ ripstop flows src 10.244.1.77\n${await say('flows', 'src', '10.244.1.77')}`,
    );
    const table = await say('pods');
    t.match(
      table,
      /^10\.244\.1\.77 +default\/web-1 +\S+Z +\S+Z +eth0\n10\.244\.1\.77 +default\/web-2 +\S+Z +- +eth0$/m,
    );
    const traced = launch('trace', '--src', '10.244.2.2', '--dst', 'default/web-1');
    t.not((await traced.ended).code, 0);
    t.match(
      traced.stderr,
      /pod "default\/web-1" went away at .*; its address 10\.244\.1\.77 belongs to default\/web-2 since/,
    );
    faults.hold(t, 'reused-pods', `node1$ ripstop pods\n${table}`);
    faults.hold(
      t,
      'reused-trace',
      `node1$ ripstop trace --src 10.244.2.2 --dst default/web-1\n${traced.stderr}`,
    );
    await Promise.all([follow.stop(), log.stop()]);
  },
);
