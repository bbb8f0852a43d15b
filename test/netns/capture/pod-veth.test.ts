import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { until } from '../../../src/lab/until.ts';
import { agentsFor, fileStoreFor, type TestAgent } from '../../fixtures/agents/agents.ts';
import { MAIN } from '../../fixtures/agents/run-node.ts';
import { AgentPod } from '../../fixtures/cni/agent-pods.ts';
import { readOutput } from '../../fixtures/json-output.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';
import { Transcript } from '../../fixtures/transcript.ts';

const page = new Transcript('docs/guides/debug/commands.md');

/* `ripstop capture --pod`: traffic that never enters the tunnel. */

const skip = skipUnless('root', 'netns', 'tun', 'nft', 'ip', 'ping', 'tcpdump');

async function node(t: Test) {
  const lab = labFor(t);
  const store = fileStoreFor(t, { Backend: { Type: 'vxlan' } });
  const { agents, root } = agentsFor(t, lab, [...store.flags, '--ip-masq']);
  for (const agent of agents) {
    agent.rememberSubnet();
    agent.start();
  }
  await Promise.all(agents.map(agent => agent.ready(1)));
  const [one] = lab.nodes;
  const [agent] = agents;
  const pod = async (name: string, address: string, more: object = {}) => {
    const made = new AgentPod(t, agent!, name, address, { ...ours(agent!), ...more });
    await made.call('ADD');
    return made;
  };
  const capture = (...args: string[]) =>
    one!.ns.launch([process.execPath, MAIN, 'capture', '--socket', agent!.socket, ...args]);
  return { one: one!, pod, capture, root };
}

const ours = (agent: TestAgent) => ({
  ...{ type: 'ripstop', subnetFile: agent.subnetFile },
  ipam: { dataDir: `${agent.stateDir}/networks` },
});

t.test('pod to pod, to the node and to a Service, by both pods', { skip }, async t => {
  const { one, pod, capture, root } = await node(t);
  const web = await pod('default/web-1', '10.244.1.77');
  await pod('default/db-1', '10.244.1.78');
  // As kube-proxy translates the address of a Service.
  one.ns.must(
    ['nft', '-f', '-'],
    [
      'add table ip service',
      'add chain ip service pre { type nat hook prerouting priority dstnat; }',
      'add rule ip service pre ip daddr 10.96.0.10 dnat to 10.244.1.78',
    ].join('\n'),
  );
  const file = join(root, 'pods.pcapng');
  const text = capture('--pod', 'default/web-1,default/db-1', 'icmp and host default/web-1');
  const written = capture('--pod', 'default/web-1', '-w', file, 'icmp');
  const rows = capture('--pod', 'default/web-1', '-j', '-c', '1', 'icmp and dst host 10.96.0.10');
  for (const proc of [text, written, rows]) await proc.saying(/capturing default\/web-1 at veth/);
  for (const target of ['10.244.1.78', '10.244.1.1', '10.96.0.10'])
    t.match(web.ns.attempt(['ping', '-c', '1', '-W', '10', target]), { code: 0 }, target);
  const expected = [
    / default\/web-1 +10\.244\.1\.77 > 10\.244\.1\.78: ICMP, .* \(from the pod; pods default\/web-1 > default\/db-1\)/,
    / default\/db-1 +10\.244\.1\.77 > 10\.244\.1\.78: ICMP, .* \(to the pod; pods default\/web-1 > default\/db-1\)/,
    / default\/web-1 +10\.244\.1\.77 > 10\.244\.1\.1: ICMP, .* \(from the pod; pods default\/web-1 > -\)/,
    / default\/web-1 +10\.244\.1\.77 > 10\.96\.0\.10: ICMP, .* \(from the pod; /,
    / default\/web-1 +10\.96\.0\.10 > 10\.244\.1\.77: ICMP, .* \(to the pod; pods - > default\/web-1\)/,
  ];
  await until('every packet', () => {
    const missing = expected.filter(pattern => !pattern.test(text.stdout));
    if (missing.length > 0) throw new Error(`${missing[0]} in ${text.stdout}`);
    return true;
  });
  await Promise.all([text.stop(), written.stop()]);
  // Of the three targets the Service, whose packets are the last.
  const lines = text.stdout.trimEnd().split('\n').slice(-4).join('\n');
  const command = '$ ripstop capture --pod default/web-1,default/db-1 icmp and host default/web-1';
  page.hold(t, 'capture-pod', `${command}\n${lines}`);
  t.match(readOutput('ripstop-packet/1', await rows.success()), {
    ...{ format: 'ripstop-packet/1', point: 'default/web-1', direction: 'out', sourcePod: 'default/web-1' },
    ...{ destinationPod: null, lostBefore: 0 },
  });
  t.match(written.stderr, /6 packets captured, 0 lost/);
  t.equal(one.ns.must(['tcpdump', '-nr', file]).match(/ICMP echo/g)?.length, 6);
  t.match(readFileSync(file, 'latin1'), "the node's end of eth0 of the pod");
});

t.test('the capture ends when its pods went away, and says so', { skip }, async t => {
  const { pod, capture } = await node(t);
  const [one, two] = [await pod('default/web-1', '10.244.1.77'), await pod('default/web-2', '10.244.1.78')];
  const proc = capture('--pod', 'default/web-1', '--pod', 'default/web-2');
  await proc.saying(/capturing default\/web-1 at veth\w+, default\/web-2 at veth/);
  await one.call('DEL');
  await proc.saying(/pod default\/web-1 went away, with veth/);
  two.ns.ip('link set eth0 down', 'link set eth0 up');
  t.equal(proc.result, undefined, 'one that is only set down stays');
  await two.call('DEL');
  t.match(await proc.ended, { code: 0 });
  t.match(proc.stderr, /pod default\/web-2 went away, with veth/);
});

t.test('what cannot be captured is said, with what to do', { skip }, async t => {
  const { pod, capture } = await node(t);
  await pod('default/web-1', '10.244.1.77');
  await pod('kube-system/mac-1', '', {
    ...{ type: 'macvlan', master: 'eth0' },
    ipam: { type: 'static', addresses: [{ address: '10.9.0.5/24' }] },
  });
  const refused = async (...args: string[]) => {
    const proc = capture(...args);
    return { code: (await proc.ended).code, stderr: proc.stderr };
  };
  t.match(await refused('--pod', 'default/web-2'), {
    stderr:
      /no pod "default\/web-2" on this node; pods with similar names: default\/web-1, .*a pod in the network of its node/,
  });
  t.match(await refused('--pod', 'kube-system/mac-1'), {
    stderr: /pod kube-system\/mac-1 has no veth on this node; .*macvlan.*nsenter --net=\S+ tcpdump -i eth0/,
  });
  t.match(await refused('--pod', 'default/web-1', '-p', 'drop', '--peer', 'x'), {
    code: 2,
    stderr: /--pod with --point and --peer/,
  });
});
