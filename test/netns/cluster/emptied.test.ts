import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { Status } from '../../../src/api/answers.ts';
import type { Node } from '../../../src/lab/topology.ts';
import { until } from '../../../src/lab/until.ts';
import { agentsFor, type TestAgent } from '../../fixtures/agents/agents.ts';
import { LabEtcd } from '../../fixtures/agents/etcd-in-lab.ts';
import { PingStream } from '../../fixtures/agents/ping-stream.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

const CONFIG = '{"Network":"10.244.0.0/16","Backend":{"Type":"vxlan"}}';
const ROOT = '/coreos.com/network';
/** A node of flannel, which writes its lease once and does not look whether it is there. */
const FLANNEL = 'subnets/10.244.9.0-24';
const FLANNEL_LEASE =
  '{"PublicIP":"172.31.0.9","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"0a:00:00:00:00:09"}}';

const statusOf = (agent: TestAgent): Promise<Status> => agent.ask('/status');
const reaches = (from: Node, to: Node): boolean =>
  from.pods[0]!.ns.attempt(['ping', '-c1', '-W1', to.pods[0]!.address[4]]).code === 0;

t.test(
  'etcd comes back with another data directory (J8): no ping is lost, the fault is named, a restart keeps it',
  { skip: skipUnless('root', 'netns', 'tun', 'nft', 'etcd', 'etcdctl') },
  async t => {
    const lab = labFor(t, { nodes: 3 });
    const [one, two] = lab.nodes as [Node, Node, Node];
    const etcd = await LabEtcd.start(t, lab);
    etcd.put(`${ROOT}/config`, CONFIG);
    etcd.put(`${ROOT}/${FLANNEL}`, FLANNEL_LEASE);
    const { agents } = agentsFor(t, lab, [`--etcd-endpoints=${etcd.url}`]);
    const [agent, other] = agents as [TestAgent, TestAgent];
    for (const each of [agent, other]) {
      each.rememberSubnet();
      each.start();
    }
    await Promise.all([agent.ready(2), other.ready(2)]);
    await until('traffic', () => reaches(one, two) && reaches(two, one));
    const before = etcd.read(`${ROOT}/subnets/`);
    const streams = [new PingStream(one, two, 20), new PingStream(two, one, 20)];

    await etcd.down();
    etcd.wipe();
    await etcd.up();
    await until('the fault', async () => (await statusOf(agent)).store.kept !== null);
    await until(
      'the nodes to have written their leases again',
      () => [...etcd.read(`${ROOT}/subnets/`).keys()].length === 2,
    );
    await until('those taken up', async () => (await statusOf(agent)).store.kept?.leases === 1);
    t.match(await statusOf(agent), {
      ready: true,
      networkStarts: 1,
      store: { kept: { why: /revision of etcd went back/ } },
    });
    t.equal((await agent.ask('/peers')).length, 2, 'the node of flannel is still a peer');
    t.match(one.ns.must(['ip', 'route']), '10.244.9.0/24');
    for (const [key, value] of etcd.read(`${ROOT}/subnets/`)) t.equal(value, before.get(key), key);
    const { findings } = await agent.ask('/doctor');
    t.match(
      findings.find(({ kind }) => kind === 'store-emptied'),
      { severity: 'fault', what: /came back without known leases .* keeping 1 of them until 20/ },
    );
    for (const stream of streams) {
      const { sent, lost } = await stream.end();
      t.equal(lost, 0, `of ${sent} pings`);
    }

    await until('it saved', () => {
      const text = readFileSync(join(agent.stateDir, 'last-known.json'), 'utf8');
      return text.includes('"kept":{"keys":["10.244.9.0-24"]');
    });
    await agent.stop('SIGKILL');
    etcd.put(`${ROOT}/config`, CONFIG);
    agent.start();
    t.match((await agent.ready(2)).store, { kept: { leases: 1 } }, 'a restart keeps it');

    etcd.put(`${ROOT}/${FLANNEL}`, FLANNEL_LEASE);
    await until('nothing kept', async () => (await statusOf(agent)).store.kept === null);
    etcd.ctl('del', `${ROOT}/${FLANNEL}`);
    await Promise.all([agent.ready(1), other.ready(1)]);
    const log = readFileSync(other.log, 'utf8');
    t.match(log, /"level":"error".*came back without known leases/);
  },
);
