import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { Agent } from '../../../src/agent/agent.ts';
import { parseFlags } from '../../../src/agent/config/flags.ts';
import { agentOptions } from '../../../src/agent/inputs/options.ts';
import { KubeStore } from '../../../src/agent/store/kube/store.ts';
import { createLog } from '../../../src/base/log.ts';
import { until } from '../../../src/lab/until.ts';
import { KubeApi } from '../../fixtures/kube/kube-api.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

const P = 'flannel.alpha.coreos.com';

t.test('two nodes on the Kubernetes API', { skip: skipUnless('root', 'netns', 'tun', 'nft') }, async t => {
  const lab = labFor(t);
  const api = await KubeApi.start();
  const root = mkdtempSync(join(tmpdir(), 'rs-kube-'));
  const configPath = join(root, 'net-conf.json');
  const conf = {
    Network: '10.244.0.0/16',
    EnableIPv6: true,
    IPv6Network: 'fd00:10:244::/48',
    Backend: { Type: 'vxlan' },
  };
  writeFileSync(configPath, JSON.stringify(conf));
  const agents: { agent: Agent; run: Promise<void> }[] = [];
  t.teardown(async () => {
    for (const { agent } of agents) agent.stop();
    await Promise.all(agents.map(({ run }) => run));
    await api.down();
    rmSync(root, { recursive: true, force: true });
  });

  /** An agent of this very process, working in a node's namespace. */
  function start(index: number, ...more: string[]): Agent {
    const node = lab.nodes[index]!;
    const stateDir = join(root, `n${index}`);
    const flags = parseFlags(
      [
        '--iface=eth0',
        '--ip-masq',
        `--state-dir=${stateDir}`,
        `--subnet-file=${stateDir}/subnet.env`,
        '--iptables-resync=1',
        ...more,
      ],
      {},
    );
    const options = { ...agentOptions(flags, `n${index}`), netns: node.ns.path };
    const store = new KubeStore({
      access: { url: new URL(api.url) },
      nodeName: `n${index}`,
      annotationPrefix: P,
      configPath,
      setCondition: true,
      configPollMs: 100,
    });
    const agent = new Agent(options, store, createLog('silent'));
    agents.push({ agent, run: agent.run() });
    return agent;
  }

  const subnetsOf = (index: number) => `${lab.nodes[index]!.subnet[4]} and ${lab.nodes[index]!.subnet[6]}`;
  for (const [index, node] of lab.nodes.entries())
    api.addNode(`n${index}`, index === 0 ? {} : { podCIDRs: [node.subnet[4], node.subnet[6]] });
  const first = start(0);
  const second = start(1);
  await until('it to ask for a podCIDR', () => first.readiness.reasons().join().includes('no IPv4 podCIDR'));
  await until('an Event that says so', () =>
    api.events.some(
      event =>
        event.reason === 'RipstopNotReady' &&
        event.type === 'Warning' &&
        String(event.message).includes('--allocate-node-cidrs'),
    ),
  );
  t.equal(api.nodes.get('n0')!.status.conditions.length, 1, 'the node stays tainted as without a network');

  const late = api.nodes.get('n0')!;
  late.spec = { podCIDRs: [lab.nodes[0]!.subnet[4], lab.nodes[0]!.subnet[6]] };
  await until('both ready', () =>
    agents.every(
      ({ agent }) =>
        agent.readiness.isReady && agent.network?.overlays.every(overlay => overlay.peers.length === 1),
    ),
  );
  lab.podMtu(1430);
  const [one, two] = lab.nodes;
  for (const family of [4, 6] as const)
    await until(
      `IPv${family}`,
      () => one!.pods[0]!.ns.attempt(['ping', '-c1', '-W1', two!.pods[0]!.address[family]]).code === 0,
    );
  await until('the condition', () => api.nodes.get('n0')!.status.conditions.length === 2);
  t.match(api.nodes.get('n0')!.status.conditions[1], { type: 'NetworkUnavailable', status: 'False' });
  await until(
    'two events',
    () => api.events.filter(event => event.reason === 'RipstopReady' && event.type === 'Normal').length === 2,
  );
  t.match(
    readFileSync(join(root, 'n0', 'subnet.env'), 'utf8'),
    'FLANNEL_IPV6_SUBNET=fd00:10:244:1::1/64\nFLANNEL_MTU=1430',
  );

  await t.test('annotations taken away are written again; the API server away stops nothing', async t => {
    api.annotate('n0', { [`${P}/kube-subnet-manager`]: null });
    await until(
      'them back',
      () => api.nodes.get('n0')!.metadata.annotations[`${P}/kube-subnet-manager`] === 'true',
    );
    // A watch tells changes in their order: who knows a later Node has seen that the annotations are back.
    api.addNode('n9', { podCIDRs: ['10.244.9.0/24'] });
    api.annotate('n9', {
      [`${P}/kube-subnet-manager`]: 'true',
      [`${P}/backend-type`]: 'host-gw',
      [`${P}/public-ip`]: '172.31.0.9',
    });
    await until('the other agent to know a later Node', () => second.watch.leases?.has('n9'));
    await api.down();
    await until('it noticed', () => first.watch.downSince !== undefined);
    t.ok(first.readiness.isReady);
    t.equal(one!.pods[0]!.ns.attempt(['ping', '-c1', '-W10', two!.pods[0]!.address[4]]).code, 0);
    await api.up();
    await until('it back', () => first.watch.downSince === undefined);
    t.equal(first.networkStarts, 1);
    api.deleteNode('n9');
  });

  await t.test('started while the API server is away: the last known state, confirmed later', async t => {
    const { agent, run } = agents.shift()!;
    agent.stop();
    await run;
    await api.down();
    const again = start(0);
    await until('it working', () => again.readiness.isReady && again.source.isProvisional);
    await until('the store missed', () => again.watch.downSince !== undefined);
    await until(
      'traffic',
      () => one!.pods[0]!.ns.attempt(['ping', '-c1', '-W1', two!.pods[0]!.address[4]]).code === 0,
    );
    await api.up();
    await until('the lease confirmed', () => !again.source.isProvisional);
    t.equal(again.networkStarts, 1, 'without an interruption');
  });

  /** Another life of the first node's agent. @param between what happens while there is none */
  const anotherLife = async (between: () => void, ...more: string[]): Promise<Agent> => {
    const at = agents.findIndex(({ agent }) => agent.options.nodeName === 'n0');
    const [{ agent, run }] = agents.splice(at, 1) as [(typeof agents)[number]];
    agent.stop();
    await run;
    between();
    return start(0, ...more);
  };

  await t.test('an API server that takes connections and answers nothing', async t => {
    let asked = 0;
    const again = await anotherLife(() => {
      api.isSilent = true;
      asked = api.requests.length;
    });
    await until('it working', () => again.readiness.isReady && again.source.isProvisional);
    const calls = api.requests.slice(asked).filter(line => line === 'GET /api/v1/nodes/n0');
    t.equal(calls.length, 1, 'before the first call to it was given up and made again');
    api.speak();
    await until('the lease confirmed', () => !again.source.isProvisional);
    t.equal(again.networkStarts, 1, 'without an interruption');
  });

  await t.test('what another cluster said is not remembered in this one', async t => {
    const joined = await anotherLife(() => api.replaceNode('n0', 'elsewhere'));
    await until('it working', () => joined.readiness.isReady);
    t.notOk(joined.source.isProvisional, 'the store was asked first');

    const silent = await anotherLife(() => {
      api.isSilent = true;
      api.replaceNode('n0', 'elsewhere again');
    });
    await until('it working', () => silent.source.isProvisional && silent.readiness.isReady);
    api.speak();
    await until('the store heard', () => !silent.source.isProvisional && silent.readiness.isReady);
    t.equal(silent.networkStarts, 1, 'the overlay of the same lease goes on');
    t.same(
      [...(silent.watch.leases?.keys() ?? [])].sort(),
      ['n0', 'n1'],
      'the leases are those of the store',
    );
  });

  await t.test('Node created again with another podCIDR: followed', async t => {
    const [agent] = agents.map(entry => entry.agent).filter(({ options }) => options.nodeName === 'n0');
    const envOf = () => readFileSync(join(root, 'n0', 'subnet.env'), 'utf8');
    const give = (subnet: string) => {
      api.nodes.get('n0')!.spec = { podCIDRs: [subnet, lab.nodes[0]!.subnet[6]] };
      api.annotate('n0', { 'made-anew': subnet });
    };
    give('10.244.77.0/24');
    await until('the new subnet', () => envOf().includes('FLANNEL_SUBNET=10.244.77.1/24'));
    t.match(one!.ns.must(['ip', 'addr', 'show', 'flannel.1']), 'inet 10.244.77.0/32');
    await until('the other node to follow', () =>
      two!.ns.must(['ip', 'route']).includes('10.244.77.0/24 via 10.244.77.0'),
    );
    t.notMatch(two!.ns.must(['ip', 'route']), lab.nodes[0]!.subnet[4]);
    give(lab.nodes[0]!.subnet[4]);
    await until(
      'it back',
      () => agent!.readiness.isReady && envOf().includes('FLANNEL_SUBNET=10.244.1.1/24'),
    );
  });

  await t.test('own Node that is gone (K8): not ready, with the reason, until it exists again', async t => {
    const agent = agents.map(entry => entry.agent).find(({ options }) => options.nodeName === 'n0')!;
    const { spec } = api.nodes.get('n0')!;
    const starts = agent.networkStarts;
    api.deleteNode('n0');
    await until('the reason', () =>
      agent.readiness.reasons().join().includes('identity: Node n0 does not exist'),
    );
    t.equal(agent.readiness.isReady, false);
    api.addNode('n0', spec);
    await until('it ready', () => agent.readiness.isReady);
    t.equal(agent.networkStarts, starts, 'without an interruption');
    await until(
      'an Event with the subnet (K13)',
      () =>
        api.events.findLast(event => event.reason === 'RipstopReady')?.message ===
        `pod subnet ${subnetsOf(0)}`,
    );
  });

  await t.test('own Node that was deleted while the agent started from its saved state (K8)', async t => {
    const { spec } = api.nodes.get('n0')!;
    const silent = await anotherLife(() => {
      api.isSilent = true;
      api.deleteNode('n0');
    });
    await until('it working', () => silent.source.isProvisional && silent.readiness.isReady);
    api.speak();
    await until('the reason', () =>
      silent.readiness.reasons().join().includes('identity: Node n0 does not exist'),
    );
    api.addNode('n0', spec);
    await until('it ready', () => silent.readiness.isReady && !silent.source.isProvisional);
    t.equal(silent.networkStarts, 1, 'without an interruption');
  });

  await t.test('a changed ConfigMap is taken up and announced', async t => {
    writeFileSync(configPath, JSON.stringify({ ...conf, Backend: { Type: 'host-gw' } }));
    await until('plain routes', () =>
      agents.every(
        ({ agent }) => agent.readiness.isReady && agent.network?.overlays[0]?.plan.mode === 'host-gw',
      ),
    );
    await until(
      'traffic',
      () => one!.pods[0]!.ns.attempt(['ping', '-c1', '-W1', two!.pods[0]!.address[6]]).code === 0,
    );
    t.match(
      api.events.findLast(event => event.reason === 'RipstopRestart'),
      { message: /configuration changed/ },
    );
    t.match(readFileSync(join(root, 'n0', 'subnet.env'), 'utf8'), 'FLANNEL_MTU=1500');
  });

  await t.test('the former kernel state is restored before the store is closed', async t => {
    const forwarding = () => one!.ns.must(['sysctl', '-n', 'net.ipv4.ip_forward']).trim();
    const agent = await anotherLife(() => one!.ns.sysctl('net.ipv4.ip_forward=0'), '--keep-state=false');
    await until('it ready', () => agent.readiness.isReady);
    t.equal(forwarding(), '1');
    const close = agent.store.close.bind(agent.store);
    let atClose = '';
    agent.store.close = async () => {
      atClose = forwarding();
      await close();
    };
    agent.stop();
    await Promise.all(agents.filter(entry => entry.agent === agent).map(({ run }) => run));
    t.equal(atClose, '0');
  });
});
