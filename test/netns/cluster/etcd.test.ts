import { readFileSync } from 'node:fs';
import t from 'tap';
import type { Node } from '../../../src/lab/topology.ts';
import { until } from '../../../src/lab/until.ts';
import { agentsFor, type TestAgent } from '../../fixtures/agents/agents.ts';
import { LabEtcd } from '../../fixtures/agents/etcd-in-lab.ts';
import { FlannelNode } from '../../fixtures/agents/flannel-node.ts';
import { PingStream } from '../../fixtures/agents/ping-stream.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

const PREFIX = '/coreos.com/network';
const SUBNETS = `${PREFIX}/subnets/`;
const CONFIG = '{"Network":"10.244.0.0/16","Backend":{"Type":"vxlan"}}';

const reaches = (from: Node, to: Node): boolean =>
  from.pods[0]!.ns.attempt(['ping', '-c1', '-W1', to.pods[0]!.address[4]]).code === 0;
const macOf = (node: Node): string => node.ns.must(['cat', '/sys/class/net/flannel.1/address']).trim();
const statusOf = (agent: TestAgent) => agent.ask('/status');

t.test(
  'a mixed cluster on a real etcd',
  { skip: skipUnless('root', 'netns', 'tun', 'vxlan', 'nft', 'etcd', 'etcdctl') },
  async t => {
    const lab = labFor(t, { nodes: 3 });
    const etcd = await LabEtcd.start(t, lab);
    const { agents } = agentsFor(t, lab, [`--etcd-endpoints=${etcd.url}`, '--ip-masq']);
    const [userspace, kernel] = agents as [TestAgent, TestAgent, TestAgent];
    const [one, two, three] = lab.nodes as [Node, Node, Node];

    await t.test('agents wait for a configuration, then hold flannel’s leases', async t => {
      for (const agent of [userspace, kernel]) agent.rememberSubnet();
      userspace.start();
      kernel.start('--data-plane=kernel');
      await until('it to say what lacks', async () =>
        (await statusOf(userspace)).reasons.join().includes('does not exist in etcd'),
      );
      etcd.put(`${PREFIX}/config`, CONFIG);
      await Promise.all([userspace.ready(1), kernel.ready(1)]);
      t.same([...etcd.read(SUBNETS).keys()], [`${SUBNETS}10.244.1.0-24`, `${SUBNETS}10.244.2.0-24`]);
      t.match(
        etcd.read(SUBNETS).get(`${SUBNETS}10.244.1.0-24`),
        `{"PublicIP":"172.31.0.1","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"RipstopRemoteChecksum":true,"RipstopOffloadProofs":1,"VtepMAC":"${macOf(one)}"}}`,
      );
      t.match(
        etcd.read(SUBNETS).get(`${SUBNETS}10.244.2.0-24`),
        `"BackendData":{"VNI":1,"VtepMAC":"${macOf(two)}"}}`,
        'the kernel leaves no checksum open',
      );
      t.ok(reaches(one, two), 'our data plane and the kernel’s speak to one another');
    });

    let flannel = new FlannelNode(three, '0a:58:fd:00:00:03');
    await t.test(
      'a flannel node joins, changes its MAC, leaves: the traffic of others loses nothing',
      async t => {
        const stream = new PingStream(one, two);
        for (const [path, value] of etcd.read(SUBNETS)) flannel.learn(path.slice(SUBNETS.length), value);
        etcd.put(`${SUBNETS}${flannel.key}`, flannel.value);
        await until('userspace node to flannel node', () => reaches(one, three));
        await until('flannel node to kernel node', () => reaches(three, two));
        t.ok(reaches(three, one));

        three.ns.ip('link del flannel.1');
        flannel = new FlannelNode(three, '0a:58:fd:00:00:33');
        for (const [path, value] of etcd.read(SUBNETS))
          if (!path.endsWith(flannel.key)) flannel.learn(path.slice(SUBNETS.length), value);
        etcd.put(`${SUBNETS}${flannel.key}`, flannel.value);
        await until('the new MAC to be taken up', () => reaches(one, three) && reaches(two, three));
        t.notMatch(
          two.ns.must(['bridge', 'fdb', 'show', 'dev', 'flannel.1']),
          '0a:58:fd:00:00:03',
          'the old forwarding entry is gone',
        );

        etcd.ctl('del', `${SUBNETS}${flannel.key}`);
        await until(
          'its routes gone',
          () =>
            !one.ns.must(['ip', 'route']).includes('10.244.3.0') &&
            !two.ns.must(['ip', 'route']).includes('10.244.3.0'),
        );
        etcd.put(`${SUBNETS}${flannel.key}`, flannel.value);
        await until('it back', () => reaches(one, three));
        t.equal((await stream.end()).lost, 0);
      },
    );

    await t.test(
      'own lease deleted by an operator: taken again in the same session, traffic goes on',
      async t => {
        const stream = new PingStream(one, two);
        etcd.ctl('del', `${SUBNETS}10.244.1.0-24`);
        await until('the lease again', () => etcd.read(SUBNETS).has(`${SUBNETS}10.244.1.0-24`));
        await userspace.ready(2);
        t.equal((await statusOf(userspace)).networkStarts, 1);
        // The peer drops the node's packets for as long as the lease is away.
        t.comment(`${(await stream.end()).lost} pings lost meanwhile`);
      },
    );

    await t.test('etcd away and back, history compacted: traffic goes on', async t => {
      const stream = new PingStream(one, two);
      await etcd.down();
      await until('it noticed', async () => (await statusOf(userspace)).store.downSince !== null);
      t.ok((await statusOf(userspace)).ready, 'still ready: packets flow');
      t.ok(reaches(one, three));
      await etcd.up();
      await until('it back', async () => (await statusOf(userspace)).store.downSince === null);
      t.equal((await stream.end()).lost, 0);
    });

    await t.test('killed and started again: same subnet, same MAC, nothing stale', async t => {
      const [mac1, mac2] = [macOf(one), macOf(two)];
      const stream = new PingStream(one, two);
      await kernel.stop('SIGKILL');
      etcd.ctl('del', `${SUBNETS}${flannel.key}`);
      await until('the other agent to remove its route', () => !reaches(one, three));
      t.match(two.ns.must(['ip', 'route']), '10.244.3.0', 'an agent that is not running removes nothing');
      kernel.start('--data-plane=kernel');
      await kernel.ready(1);
      await until('the stale route gone', () => !two.ns.must(['ip', 'route']).includes('10.244.3.0'));
      t.notMatch(two.ns.must(['bridge', 'fdb', 'show', 'dev', 'flannel.1']), flannel.mac);
      t.equal(macOf(two), mac2);
      t.equal((await stream.end()).lost, 0, 'the kernel carries on without its agent');

      const second = new PingStream(one, two);
      await userspace.stop('SIGKILL');
      userspace.start();
      await userspace.ready(1);
      await until('traffic', () => reaches(one, two));
      t.equal(macOf(one), mac1);
      t.match(readFileSync(userspace.subnetFile, 'utf8'), 'FLANNEL_SUBNET=10.244.1.1/24');
      const { lost, gapMs } = await second.end();
      t.comment(`${lost} pings lost, a gap of ${gapMs} ms`);
    });

    await t.test(
      'started while etcd is away: the last known state carries traffic until it is back',
      async t => {
        await etcd.down();
        await userspace.stop('SIGKILL');
        userspace.start();
        const status = await userspace.ready(1);
        t.equal(status.store.borrowed, true);
        t.ok(reaches(one, two));
        await etcd.up();
        await until('the lease confirmed', async () => !(await statusOf(userspace)).store.borrowed);
        t.ok(reaches(one, two));
        t.equal((await statusOf(userspace)).networkStarts, 1, 'without an interruption');
      },
    );

    await t.test('a change that traffic need not notice: another tool for the rules', async t => {
      const config = (nftables: boolean) =>
        `{ "Network": "10.244.0.0/16", "EnableNFTables": ${nftables}, "SubnetMax": "10.244.200.0", "Backend": { "Type": "vxlan" } }`;
      const stream = new PingStream(one, two);
      const before = (await statusOf(userspace)).networkStarts;
      const has = (tool: 'nft' | 'iptables') => {
        const [nft, nat] = [
          one.ns.must(['nft', 'list', 'ruleset']),
          one.ns.must(['iptables-save', '-t', 'nat']),
        ];
        return (
          nft.includes('table inet ripstop') === (tool === 'nft') &&
          nat.includes('RIPSTOP') !== (tool === 'nft')
        );
      };
      etcd.put(`${PREFIX}/config`, config(false));
      await until('iptables in place of nftables', () => has('iptables'));
      etcd.put(`${PREFIX}/config`, config(true));
      await until('nftables in place of iptables', () => has('nft'));
      const status = await statusOf(userspace);
      t.match(status, { networkStarts: before, ready: true, rules: { tool: 'nftables', repaired: 0 } });
      t.equal((await stream.end()).lost, 0);
    });

    await t.test('a configuration change is taken up without a restart of the process', async t => {
      const before = (await statusOf(userspace)).pid;
      etcd.put(
        `${PREFIX}/config`,
        '{"Network":"10.244.0.0/16","Backend":{"Type":"vxlan","MTU":1400,"Oops":1}}',
      );
      await until('the refusal of a wrong one', () =>
        readFileSync(userspace.log, 'utf8').includes('keeping the current configuration'),
      );
      t.equal((await statusOf(userspace)).overlays[0]!.mtu, 1450);
      etcd.put(`${PREFIX}/config`, '{"Network":"10.244.0.0/16","Backend":{"Type":"vxlan","MTU":1400}}');
      for (const agent of [userspace, kernel]) {
        await until('the new MTU', async () => (await statusOf(agent)).overlays[0]?.mtu === 1350);
        await agent.ready(1);
      }
      t.equal(
        two.ns.must(['cat', '/sys/class/net/flannel.1/mtu']).trim(),
        '1350',
        'on the existing device, too',
      );
      t.match(readFileSync(userspace.subnetFile, 'utf8'), 'FLANNEL_MTU=1350');
      await until('traffic', () => reaches(one, two));
      etcd.put(
        `${PREFIX}/config`,
        '{"Network":"10.244.0.0/16","Backend":{"Type":"vxlan","DirectRouting":true}}',
      );
      await until('direct routes', () =>
        one.ns.must(['ip', 'route', 'show', '10.244.2.0/24']).includes('via 172.31.0.2'),
      );
      await Promise.all([userspace.ready(1), kernel.ready(1)]);
      await until('traffic by plain routes', () => reaches(one, two));
      t.equal((await statusOf(userspace)).pid, before);
    });

    await t.test('the underlay address changes at run time: followed, subnet kept', async t => {
      two.ns.ip('addr del 172.31.0.2/24 dev eth0');
      await until('it to say so', async () =>
        (await statusOf(kernel)).reasons.join().includes('no IPv4 address'),
      );
      two.ns.ip('addr add 172.31.0.22/24 dev eth0');
      await until(
        'the lease under the new address',
        () => etcd.read(SUBNETS).get(`${SUBNETS}10.244.2.0-24`)?.includes('172.31.0.22') ?? false,
      );
      await until('traffic', () => reaches(one, two));
      await Promise.all([userspace.stop(), kernel.stop()]);
      for (const agent of [userspace, kernel])
        t.notMatch(readFileSync(agent.log, 'utf8'), /TypeError|"level":"fatal"/);
    });
  },
);
