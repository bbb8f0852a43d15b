import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { CHECKOUT } from '../../../bench/lab/tool.ts';
import type { Node } from '../../../src/lab/topology.ts';
import { until } from '../../../src/lab/until.ts';
import { agentsFor } from '../../fixtures/agents/agents.ts';
import { cleanUpAfter } from '../../fixtures/agents/ask.ts';
import { LabEtcd } from '../../fixtures/agents/etcd-in-lab.ts';
import { FlannelNode } from '../../fixtures/agents/flannel-node.ts';
import { PingStream } from '../../fixtures/agents/ping-stream.ts';
import { MAIN } from '../../fixtures/agents/run-node.ts';
import { labFor } from '../../fixtures/lab.ts';
import { guideCommands } from '../../fixtures/pages/migration-guide.ts';
import { PostedCommands } from '../../fixtures/posted-commands.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

const SUBNETS = '/coreos.com/network/subnets/';
const reaches = (from: Node, to: Node): boolean =>
  from.pods[0]!.ns.attempt(['ping', '-c1', '-W1', to.pods[0]!.address[4]]).code === 0;

t.test(
  'the migration page, step by step: flannel, Ripstop, and back',
  { skip: skipUnless('root', 'netns', 'tun', 'vxlan', 'nft', 'etcd', 'etcdctl') },
  async t => {
    const lab = labFor(t, { nodes: 3 });
    const etcd = await LabEtcd.start(t, lab);
    etcd.put('/coreos.com/network/config', '{"Network":"10.244.0.0/16","Backend":{"Type":"vxlan"}}');
    const { agents } = agentsFor(t, lab, [`--etcd-endpoints=${etcd.url}`, '--ip-masq']);
    const agent = agents[0]!;
    const [one, two] = lab.nodes as [Node, Node, Node];
    const flannels = [one, two].map((node, i) => new FlannelNode(node, `0a:58:fd:00:00:0${i + 1}`));
    const [first, second] = flannels as [FlannelNode, FlannelNode];
    for (const flannel of flannels) etcd.put(`${SUBNETS}${flannel.key}`, flannel.value);
    first.learn(second.key, second.value);
    second.learn(first.key, first.value);
    one.ns.must(
      ['iptables-restore', '--noflush'],
      '*nat\n:FLANNEL-POSTRTG - [0:0]\n-A POSTROUTING -j FLANNEL-POSTRTG\nCOMMIT\n',
    );
    t.ok(reaches(one, two), 'flannel to flannel');

    const plan = agent.plan();
    t.notMatch(plan, '+ lease', 'the lease is kept');
    t.match(plan, '- device flannel.1 (it is a vxlan device)\n+ device flannel.1 type tap');
    t.ok(reaches(one, two), 'the plan changed nothing');

    const stream = new PingStream(two, one, 10);
    await stream.flows();
    agent.start();
    const status = await agent.ready(1);
    await until('traffic', () => reaches(one, two));
    const { sent, lost } = await stream.end();
    t.comment(`${lost} of ${sent} pings lost while the tunnel changed hands`);
    // Neither the start of the threads nor the rules come between the replacement of the device and the peers.
    const order = [
      'workers started',
      'replacing the kernel VXLAN device',
      'peers applied',
      'ready: packets can flow',
    ];
    const log = readFileSync(agent.log, 'utf8');
    t.same(
      order.map(text => log.indexOf(text)).toSorted((a, b) => a - b),
      order.map(text => log.indexOf(text)),
      'peers come before the rest of the start',
    );
    const between = log.slice(log.indexOf(order[1]!), log.indexOf(order[2]!));
    t.notMatch(between, /"component":"rules"/, 'the rules are not waited for in between');
    t.notMatch(one.ns.must(['ip', '-o', 'link']), 'rs-old-', 'the device of flannel is deleted');
    t.equal(status.overlays[0]!.mac, first.mac, 'the other node already has this MAC');
    t.match(readFileSync(agent.subnetFile, 'utf8'), 'FLANNEL_SUBNET=10.244.1.1/24');
    t.equal(
      etcd.read(SUBNETS).get(`${SUBNETS}${first.key}`),
      first.value.replace(/(?="VtepMAC")/, '"RipstopRemoteChecksum":true,"RipstopOffloadProofs":1,'),
      'the lease reads as it did, with our keys in front of the MAC, which flanneld expects at the end',
    );

    t.match(cleanUpAfter(agent, '--flannel-rules'), 'iptables chain FLANNEL-POSTRTG');
    t.ok(reaches(one, two), 'traffic flows without the rules of flannel');

    await agent.stop();
    const removed = cleanUpAfter(agent);
    t.match(removed, 'nftables rules');
    t.match(removed, /kept .*subnet\.env/);
    t.notMatch(one.ns.must(['nft', 'list', 'ruleset']), /ripstop|FLANNEL/);
    t.match(
      readFileSync(agent.subnetFile, 'utf8'),
      'FLANNEL_SUBNET=10.244.1.1/24',
      'flanneld finds its subnet',
    );
    new FlannelNode(one, first.mac).learn(second.key, second.value);
    await until('flannel again', () => reaches(one, two));
    t.ok(etcd.read(SUBNETS).has(`${SUBNETS}${first.key}`), 'the lease is still there');

    agent.start();
    await agent.ready(1);
    await agent.stop();
    one.ns.must(['ip', 'link', 'del', 'flannel.1']);
    // flanneld keeps the MAC of the lease (K5).
    new FlannelNode(one, first.mac).learn(second.key, second.value);
    t.notMatch(cleanUpAfter(agent), 'device flannel.1');
    t.ok(reaches(one, two), 'a cleanup after flanneld has started leaves its device (K6)');
  },
);

t.test(
  'etcd and systemd: a node is moved and moved back by the commands of the guide',
  { skip: skipUnless('root', 'netns', 'tun', 'vxlan', 'nft', 'etcd', 'etcdctl', 'curl') },
  async t => {
    const lab = labFor(t, { nodes: 3 });
    const etcd = await LabEtcd.start(t, lab);
    etcd.put('/coreos.com/network/config', '{"Network":"10.244.0.0/16","Backend":{"Type":"vxlan"}}');
    const { agents, root } = agentsFor(t, lab, []);
    const agent = agents[0]!;
    // The file of the service has the flags.
    agent.iface = [];
    const [one, two] = lab.nodes as [Node, Node, Node];
    const [first, second] = [one, two].map(
      (node, i) => new FlannelNode(node, `0a:58:fd:00:00:0${i + 1}`),
    ) as [FlannelNode, FlannelNode];
    for (const flannel of [first, second]) etcd.put(`${SUBNETS}${flannel.key}`, flannel.value);
    const learn = (flannel: FlannelNode, from: FlannelNode) => flannel.learn(from.key, from.value);
    learn(first, second);
    learn(second, first);

    const etc = join(root, 'etc');
    for (const folder of ['systemd/system', 'default']) mkdirSync(join(etc, folder), { recursive: true });
    const systemctl = async (verb: string, unit: string): Promise<string> => {
      switch (`${verb} ${unit}`) {
        case 'start ripstop':
          agent.startBehind([
            'env',
            ...readFileSync(join(etc, 'default/ripstop'), 'utf8').trim().split('\n'),
          ]);
          await agent.ready(1);
          break;
        case 'stop ripstop':
          await agent.stop();
          break;
        case 'start flanneld':
          learn(new FlannelNode(one, first.mac), second);
          break;
      }
      return `${verb} ${unit}\n`;
    };
    const posted = await PostedCommands.start(root, async ([program, ...words]) => {
      if (program === 'systemctl') return systemctl(words[0]!, words[1]!);
      if (words[0] === 'cleanup') return cleanUpAfter(agent, ...words.slice(1));
      return one.ns.must([process.execPath, MAIN, ...words, '--socket', agent.socket]);
    });
    t.teardown(() => posted.stop());
    for (const program of ['systemctl', 'ripstop']) posted.add(program);
    const sh = async (commands: string): Promise<string> => {
      const here = commands.replaceAll('/etc/', `${etc}/`).replaceAll('http://10.0.0.1:2379', etcd.url);
      const env = { PATH: `${posted.bin}:${process.env.PATH}` };
      return (await promisify(execFile)('sh', ['-euc', here], { cwd: CHECKOUT, env })).stdout;
    };

    t.ok(reaches(one, two), 'flannel to flannel');
    const [, move = ''] = guideCommands('etcd and systemd');
    const moved = await sh(move);
    t.match(
      moved,
      /^stop flanneld\nstart ripstop\n[\s\S]*^checked: [\s\S]*^disable flanneld\nenable ripstop\n/m,
    );
    t.ok(existsSync(join(etc, 'systemd/system/ripstop.service')));
    await until('Ripstop to flannel', () => reaches(one, two) && reaches(two, one));
    const [back = ''] = guideCommands('Back');
    t.match(await sh(back), /^stop ripstop\n[\s\S]*^start flanneld\ndisable ripstop\nenable flanneld\n/m);
    await until('flannel again', () => reaches(one, two) && reaches(two, one));
    t.ok(etcd.read(SUBNETS).has(`${SUBNETS}${first.key}`), 'the lease is still there');
  },
);
