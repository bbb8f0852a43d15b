import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { Node } from '../../../src/lab/topology.ts';
import { until } from '../../../src/lab/until.ts';
import { agentsFor, type TestAgent } from '../../fixtures/agents/agents.ts';
import { cleanUpAfter } from '../../fixtures/agents/ask.ts';
import { FlannelNode } from '../../fixtures/agents/flannel-node.ts';
import { MAIN } from '../../fixtures/agents/run-node.ts';
import { apiInNodes } from '../../fixtures/kube/api-in-nodes.ts';
import { GuidedCluster } from '../../fixtures/kube/guided-cluster.ts';
import type { KubeApi } from '../../fixtures/kube/kube-api.ts';
import { labFor } from '../../fixtures/lab.ts';
import { forNode, guideCommands } from '../../fixtures/pages/migration-guide.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/*
 * The commands of docs/guides/operate/migration.md for Kubernetes, read from the page and run by sh with the real kubectl and jq.
 * The API server and the DaemonSet controller are small ones of the test; the agents, the traffic and `ripstop` are real. What
 * flannel leaves in the kernel is laid out by the test.
 */

const KUBECTL = ['kubectl', 'curl', 'sh'] as const;
const NET_CONF = '{"Network":"10.244.0.0/16","Backend":{"Type":"vxlan"}}';
const P = 'flannel.alpha.coreos.com';

async function clusterFor(t: Test, nodes: readonly string[]) {
  const folder = mkdtempSync(join(tmpdir(), 'rs-guide-'));
  const cluster = await GuidedCluster.start(folder, nodes);
  t.teardown(async () => {
    await cluster.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  return { folder, cluster };
}

/** flannel's side of the nodes, and the agents: what the pods of the two DaemonSets do. */
function followPods(cluster: GuidedCluster, api: KubeApi, agents: readonly TestAgent[]) {
  const flannels = new Map<string, FlannelNode>();
  const nameOf = ({ node }: { node: Node }) => `node${node.index}`;
  const agentOf = (name: string) => agents.find(agent => nameOf(agent) === name)!;
  const leaseOf = (name: string) => {
    const annotations = api.nodes.get(name)!.metadata.annotations;
    return `{"PublicIP":"${annotations[`${P}/public-ip`]}","BackendData":${annotations[`${P}/backend-data`]}}`;
  };
  /** flanneld starts: its device with the MAC of the annotation, its annotations, and the other nodes. */
  const startFlannel = (name: string): void => {
    const { node } = agentOf(name);
    const known = api.nodes.get(name)!.metadata.annotations[`${P}/backend-data`];
    const mac = /"VtepMAC":"([^"]+)"/.exec(known ?? '')?.[1] ?? `0a:58:fd:00:00:0${node.index}`;
    const flannel = new FlannelNode(node, mac);
    flannels.set(name, flannel);
    api.annotate(name, {
      [`${P}/kube-subnet-manager`]: 'true',
      [`${P}/backend-type`]: 'vxlan',
      [`${P}/backend-data`]: `{"VNI":1,"VtepMAC":"${mac}"}`,
      [`${P}/public-ip`]: node.underlay[4],
    });
    for (const other of agents
      .map(nameOf)
      .filter(other => api.nodes.get(other)!.metadata.annotations[`${P}/public-ip`])) {
      if (other === name) continue;
      flannel.learn(agentOf(other).node.subnet[4].replace('/', '-'), leaseOf(other));
      if (cluster.podsOf(other).flannel) flannels.get(other)?.learn(flannel.key, flannel.value);
    }
  };
  let before = new Map<string, { flannel: boolean; ripstop: boolean }>();
  cluster.changed = async (name, pods) => {
    const was = before.get(name) ?? { flannel: false, ripstop: false };
    before = new Map(before).set(name, pods);
    const agent = agentOf(name);
    if (was.ripstop && !pods.ripstop) await agent.stop();
    if (!was.flannel && pods.flannel) startFlannel(name);
    if (was.ripstop || !pods.ripstop) return;
    agent.start();
    await agent.ready(agents.length - 1);
  };
  cluster.cleanedUp = async name => {
    cleanUpAfter(agentOf(name));
  };
  cluster.run = async posted => {
    const command = posted.join(' ');
    const [, name = '', words = ''] = /exec ripstop-(\S+) -- node \S+\/main\.js (.*)$/.exec(command) ?? [];
    if (command.includes(' logs ')) return 'logs\n';
    const agent = agentOf(name);
    if (words.startsWith('cleanup ')) return cleanUpAfter(agent, ...words.split(' ').slice(1));
    const { code, stdout, stderr } = agent.node.ns.attempt([
      process.execPath,
      MAIN,
      words,
      '--socket',
      agent.socket,
    ]);
    if (code !== 0) throw new Error(`${words}: ${code} ${stdout} ${stderr}`);
    return stdout;
  };
}

t.test(
  'kubeadm with kube-flannel: a node is moved and moved back by the commands of the guide',
  { skip: skipUnless('root', 'netns', 'tun', 'vxlan', 'nft', 'iptables', ...KUBECTL) },
  async t => {
    const lab = labFor(t);
    const [one, two] = lab.nodes as [Node, Node];
    const { folder, cluster } = await clusterFor(t, ['node1', 'node2']);
    const { api, url } = await apiInNodes(t, lab.nodes, folder, ({ index }) => `node${index}`);
    const config = join(folder, 'net-conf.json');
    writeFileSync(config, NET_CONF);
    const flags = [
      ...cluster.writeManifest(NET_CONF),
      `--kube-api-url=${url}`,
      `--net-config-path=${config}`,
    ];
    const { agents } = agentsFor(t, lab, flags);
    followPods(cluster, api, agents);
    const macOf = () =>
      /"VtepMAC":"([^"]+)"/.exec(api.nodes.get('node1')!.metadata.annotations[`${P}/backend-data`]!)?.[1];
    const talk = (what: string) =>
      until(what, () => {
        const ping = (from: Node, to: Node) =>
          from.pods[0]!.ns.attempt(['ping', '-c1', '-W1', to.pods[0]!.address[4]]).code === 0;
        return ping(one, two) && ping(two, one);
      });
    await cluster.daemonSet('kube-flannel', 'kube-flannel-ds', ['kube-flannel']);
    one.ns.must(
      ['iptables-restore', '--noflush'],
      '*nat\n:FLANNEL-POSTRTG - [0:0]\n-A POSTROUTING -j FLANNEL-POSTRTG\nCOMMIT\n',
    );
    await talk('flannel to flannel');
    const mac = macOf();

    const [separate = '', move = '', rules = ''] = guideCommands('kubeadm with kube-flannel');
    await cluster.sh(separate);
    await cluster.sh('kubectl apply -f kube-ripstop.yml');
    t.same(cluster.history, ['node1: flannel', 'node2: flannel'], 'nothing has moved yet');
    t.match(
      await cluster.sh(forNode(move, 'node1')),
      /^ripstop-node1 [\s\S]*^checked: /m,
      'the pod, and a doctor',
    );
    await talk('Ripstop to flannel');
    t.equal(macOf(), mac, 'the other node already has the MAC');
    t.match(await cluster.sh(forNode(rules, 'node1')), 'iptables chain FLANNEL-POSTRTG');
    await talk('without the rules of flannel');

    const [, back = ''] = guideCommands('Back');
    t.match(await cluster.sh(forNode(back, 'node1')), 'job.batch/ripstop-cleanup-1 condition met');
    await talk('flannel to flannel again');
    t.equal(macOf(), mac, 'and has it still');
    t.notMatch(one.ns.must(['nft', 'list', 'ruleset']), /ripstop/i, 'no rule is left');
    t.same(cluster.history.slice(2), ['node1: ripstop', 'node1: nothing', 'node1: flannel'], 'never both');
  },
);

/** A cluster of one node without a network: which pods run there, and what is run in them. */
async function bareCluster(t: Test) {
  const { cluster } = await clusterFor(t, ['node1']);
  const runs: string[] = [];
  cluster.run = async words => {
    const command = words.join(' ');
    runs.push(command.replace(/^.* -- node \S+\/main\.js /, 'ripstop '));
    if (command.startsWith('systemctl restart k3s')) cluster.embedded.delete('node1');
    await cluster.settle();
    return '';
  };
  cluster.writeManifest(NET_CONF);
  return { cluster, runs };
}

t.test('k3s: the commands of the guide', { skip: skipUnless(...KUBECTL) }, async t => {
  const { cluster, runs } = await bareCluster(t);
  cluster.embedded.add('node1');
  await cluster.settle();
  await cluster.sh('kubectl apply -f kube-ripstop.yml');
  const [move = ''] = guideCommands('k3s');
  t.match(await cluster.sh(forNode(move, 'node1')), 'ripstop-node1');
  t.same(cluster.history, ['node1: flannel', 'node1: nothing', 'node1: ripstop'], 'never both');
  t.same(runs, ['systemctl restart k3s', 'ripstop cleanup --flannel-rules']);
  await cluster.sh('kubectl label node node1 overlay-');
  t.equal(cluster.history.at(-1), 'node1: nothing');
});

t.test('RKE2 and Canal: the commands of the guide', { skip: skipUnless('jq', ...KUBECTL) }, async t => {
  const { cluster, runs } = await bareCluster(t);
  await cluster.daemonSet('kube-system', 'rke2-canal', ['calico-node', 'kube-flannel']);
  await cluster.sh('kubectl apply -f kube-ripstop.yml');
  const [separate = '', move = ''] = guideCommands('RKE2 and Canal');
  await cluster.sh(separate);
  t.same(cluster.history, ['node1: flannel'], 'nothing has moved yet');
  const policy = cluster.objects.ofKind('DaemonSet').find(({ metadata }) => metadata.name === 'canal-policy');
  t.match(policy, {
    metadata: { namespace: 'kube-system' },
    spec: {
      selector: { matchLabels: { 'k8s-app': 'canal-policy' } },
      template: {
        metadata: { labels: { 'k8s-app': 'canal-policy' } },
        spec: { nodeSelector: { overlay: 'ripstop', 'kubernetes.io/os': 'linux' } },
      },
    },
  });
  t.same(policy?.spec.template.spec.containers, [{ name: 'calico-node', image: 'calico-node:1' }]);
  await cluster.sh(forNode(move, 'node1'));
  t.same(runs, ['ripstop cleanup --flannel-rules']);
  await cluster.sh('kubectl label node node1 --overwrite overlay=none');
  await cluster.sh('kubectl label node node1 --overwrite overlay=flannel');
  t.same(cluster.history.slice(1), ['node1: ripstop', 'node1: nothing', 'node1: flannel'], 'never both');
});
