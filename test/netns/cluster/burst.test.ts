import { mkdirSync, mkdtempSync, readFileSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Agent } from '../../../src/agent/agent.ts';
import { parseFlags } from '../../../src/agent/config/flags.ts';
import { agentOptions } from '../../../src/agent/inputs/options.ts';
import type { LeaseStore } from '../../../src/agent/lease/store.ts';
import { EtcdClient } from '../../../src/agent/store/etcd/client.ts';
import { EtcdStore } from '../../../src/agent/store/etcd/store.ts';
import { FileStore } from '../../../src/agent/store/file.ts';
import { KubeStore } from '../../../src/agent/store/kube/store.ts';
import { createLog } from '../../../src/base/log.ts';
import type { Node } from '../../../src/lab/topology.ts';
import { PATIENCE_MS, until } from '../../../src/lab/until.ts';
import { EtcdServer } from '../../fixtures/agents/etcd-server.ts';
import { KubeApi } from '../../fixtures/kube/kube-api.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/* Many nodes that come and go at once, in each store: what is applied, what is saved, and how much work it takes. */

const PREFIX = 'flannel.alpha.coreos.com';
const CONFIG = '{"Network":"10.0.0.0/8","Backend":{"Type":"vxlan"}}';
const BURST = 500;

const hex = (value: number) => value.toString(16).padStart(2, '0');
/** The node of number `n`, 0..65535, that is nowhere. */
const far = (n: number) => ({
  address: `172.${20 + (n >> 15)}.${(n >> 8) & 127}.${n & 255}`,
  mac: `0a:99:00:00:${hex(n >> 8)}:${hex(n & 255)}`,
  subnet: `10.${96 + (n >> 8)}.${n & 255}.0/24`,
});
const leaseText = (n: number) => {
  const { address, mac } = far(n);
  return `{"PublicIP":"${address}","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"${mac}"}}`;
};
const keyOf = (n: number) => far(n).subnet.replace('/', '-');

/** A store to which nodes come and from which they go. */
interface Cluster {
  open(): LeaseStore;
  add(n: number): Promise<void> | void;
  remove(n: number): Promise<void> | void;
}

const clusters: Record<
  string,
  { needs: Parameters<typeof skipUnless>; make(t: Test, root: string): Promise<Cluster> }
> = {
  file: {
    needs: [],
    async make(_t, root) {
      const path = join(root, 'net');
      mkdirSync(join(path, 'subnets'), { recursive: true });
      writeFileSync(join(path, 'config.json'), CONFIG);
      return {
        open: () => new FileStore({ path, nodeName: 'node0' }),
        add: n => writeFileSync(join(path, 'subnets', keyOf(n)), leaseText(n)),
        remove: n => unlinkSync(join(path, 'subnets', keyOf(n))),
      };
    },
  },
  etcd: {
    needs: ['etcd', 'etcdctl'],
    async make(t) {
      const server = await EtcdServer.start();
      const prefix = '/coreos.com/network';
      const client = new EtcdClient({ endpoints: [server.url] });
      t.teardown(async () => {
        client.close();
        await server.stop();
      });
      await client.transact([], [{ put: `${prefix}/config`, value: CONFIG, lease: '0' }]);
      const path = (n: number) => `${prefix}/subnets/${keyOf(n)}`;
      return {
        open: () => new EtcdStore({ endpoints: [server.url], prefix, nodeName: 'node0' }),
        add: async n => void (await client.transact([], [{ put: path(n), value: leaseText(n), lease: '0' }])),
        remove: n => client.delete(path(n)),
      };
    },
  },
  kubernetes: { needs: [], make: async (t, root) => kubernetes(t, root) },
};

async function kubernetes(t: Test, root: string): Promise<Cluster & { api: KubeApi }> {
  const api = await KubeApi.start();
  t.teardown(() => api.down());
  const configPath = join(root, 'net-conf.json');
  writeFileSync(configPath, CONFIG);
  api.addNode('node0', { podCIDRs: ['10.244.0.0/24'] });
  return {
    api,
    open: () =>
      new KubeStore({
        access: { url: new URL(api.url) },
        nodeName: 'node0',
        annotationPrefix: PREFIX,
        configPath,
        setCondition: true,
      }),
    add: n => {
      const { address, mac, subnet } = far(n);
      api.addNode(
        `far${n}`,
        { podCIDRs: [subnet] },
        {
          [`${PREFIX}/kube-subnet-manager`]: 'true',
          [`${PREFIX}/backend-type`]: 'vxlan',
          [`${PREFIX}/public-ip`]: address,
          [`${PREFIX}/backend-data`]: `{"VNI":1,"VtepMAC":"${mac}"}`,
        },
      );
    },
    remove: n => api.deleteNode(`far${n}`),
  };
}

/** An agent of this very process, working in a node's namespace; ended with the test. */
async function start(t: Test, node: Node, store: LeaseStore, root: string): Promise<Agent> {
  const flags = parseFlags(
    ['--iface=eth0', `--state-dir=${root}`, `--subnet-file=${join(root, 'subnet.env')}`],
    {},
  );
  const agent = new Agent(
    { ...agentOptions(flags, 'node0'), netns: node.ns.path },
    store,
    createLog('silent'),
  );
  const run = agent.run();
  t.teardown(async () => {
    agent.stop();
    await run;
  });
  await until('the agent to be ready', () => agent.readiness.isReady);
  return agent;
}

const routesOf = (node: Node) =>
  node.ns
    .must(['ip', 'route', 'show', 'proto', '114'])
    .split('\n')
    .filter(line => line !== '').length;
const overlayOf = (agent: Agent) => agent.network!.overlays[0]!;
const savedIn = (root: string): number =>
  (JSON.parse(readFileSync(join(root, 'last-known.json'), 'utf8')) as { leases: unknown[] }).leases.length;
const scratch = (t: Test): string => {
  const root = mkdtempSync(join(tmpdir(), 'rs-burst-'));
  t.teardown(() => rmSync(root, { recursive: true, force: true }));
  return root;
};

for (const [name, { needs, make }] of Object.entries(clusters))
  t.test(
    `${name}: ${BURST} nodes come and go at once: all is applied, the saved state is whole`,
    { skip: skipUnless('root', 'netns', 'tun', 'nft', ...needs) },
    async t => {
      const root = scratch(t);
      const node = labFor(t).nodes[0]!;
      const cluster = await make(t, root);
      const agent = await start(t, node, cluster.open(), root);
      const before = overlayOf(agent).work;
      for (let n = 0; n < BURST; n++) await cluster.add(n);
      await until('all routes', () => routesOf(node) === BURST, PATIENCE_MS, 100);
      const after = overlayOf(agent).work;
      t.equal(overlayOf(agent).peerCount, BURST);
      const requests = after.requests - before.requests;
      t.ok(requests <= BURST * 3, `${requests} requests to the kernel for ${BURST} nodes`);
      t.ok(
        after.dumps - before.dumps <= 5,
        `${after.dumps - before.dumps} comparisons with all that is there`,
      );
      t.equal(overlayOf(agent).pending().length, 0, 'nothing is left to do');
      await until('the saved state whole', () => savedIn(root) === BURST + 1);

      for (let n = 0; n < BURST; n += 2) await cluster.remove(n);
      await until('half of the routes', () => routesOf(node) === BURST / 2, PATIENCE_MS, 100);
      await until('the saved state without them', () => savedIn(root) === BURST / 2 + 1);
      t.equal(overlayOf(agent).pending().length, 0);
    },
  );

t.test(
  'a node deleted while others come is gone before they have all come',
  { skip: skipUnless('root', 'netns', 'tun', 'nft') },
  async t => {
    const root = scratch(t);
    const node = labFor(t).nodes[0]!;
    const cluster = await kubernetes(t, root);
    await start(t, node, cluster.open(), root);
    const has = (n: number) => node.ns.must(['ip', 'route', 'show', far(n).subnet]).trim() !== '';
    let added = 0;
    let deletedAt: number | undefined;
    // The burst goes on until the deletion has taken effect, and has an end all the same.
    while (added < 4000 && (deletedAt === undefined || has(1))) {
      for (let end = added + 10; added < end; added++) cluster.add(added);
      if (deletedAt === undefined && added >= 200 && has(1)) {
        deletedAt = added;
        cluster.remove(1);
      }
      await new Promise(resolve => setTimeout(resolve, 10));
    }
    t.not(deletedAt, undefined);
    t.notOk(has(1), `gone when ${added} of 4000 had come, deleted after ${deletedAt}`);
    t.ok(added < 4000);
  },
);

t.test(
  'a change costs as many requests with 2000 peers as with 100, and no comparison',
  { skip: skipUnless('root', 'netns', 'tun', 'nft') },
  async t => {
    const root = scratch(t);
    const node = labFor(t).nodes[0]!;
    const cluster = await kubernetes(t, root);
    const agent = await start(t, node, cluster.open(), root);
    let count = 0;
    const grow = async (to: number): Promise<void> => {
      for (; count < to; count++) cluster.add(count);
      await until(`${to} peers`, () => routesOf(node) === to, PATIENCE_MS, 100);
      // What the kernel told of these changes has been read, and nothing is left to compare.
      await until('rest', () => !overlayOf(agent).mustCompare);
    };
    const costs: { requests: number; dumps: number }[] = [];
    for (const peers of [100, 2000]) {
      await grow(peers);
      const { work: before } = overlayOf(agent);
      await cluster.add(5000);
      await until('one more', () => routesOf(node) === peers + 1);
      cluster.api.annotate('far5000', {
        [`${PREFIX}/backend-data`]: '{"VNI":1,"VtepMAC":"0a:aa:00:00:00:01"}',
      });
      await until('its new MAC', () =>
        node.ns
          .must(['ip', 'neigh', 'show', 'dev', 'flannel.1', '10.115.136.0'])
          .includes('0a:aa:00:00:00:01'),
      );
      await cluster.remove(5000);
      await until('one less', () => routesOf(node) === peers);
      const { work: after } = overlayOf(agent);
      costs.push({ requests: after.requests - before.requests, dumps: after.dumps - before.dumps });
    }
    t.same(costs[1], costs[0], 'the same for many and few');
    t.same(costs[0], { requests: 5, dumps: 0 }, 'neighbour and route, neighbour, neighbour and route');
  },
);
