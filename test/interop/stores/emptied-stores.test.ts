import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { EtcdStore } from '../../../src/agent/store/etcd/store.ts';
import { FileStore } from '../../../src/agent/store/file.ts';
import { findAccess } from '../../../src/agent/store/kube/access.ts';
import { KubeStore } from '../../../src/agent/store/kube/store.ts';
import { EtcdServer } from '../../fixtures/agents/etcd-server.ts';
import { leaseAttributes, netConf, record } from '../../fixtures/agents/lease-store.ts';
import { KubeApi } from '../../fixtures/kube/kube-api.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/* Stores that come back empty (J8): what is known of other nodes is kept, and what returns is taken up. */

const P = 'flannel.alpha.coreos.com';
const OTHERS = ['10.7.201.0-24', '10.7.202.0-24'];
const lease = (n: number): string =>
  `{"PublicIP":"192.0.2.${n}","BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"0a:00:00:00:02:${n}"}}`;

t.test('etcd with another data directory', { skip: skipUnless('etcd', 'etcdctl') }, async t => {
  const etcd = await EtcdServer.start();
  t.teardown(() => etcd.stop());
  const { text, config } = netConf();
  const fill = async (...numbers: number[]) => {
    await etcd.put('/coreos.com/network/config', text);
    for (const n of numbers) await etcd.put(`/coreos.com/network/subnets/10.7.${n}.0-24`, lease(n));
  };
  await fill(201, 202);
  const store = new EtcdStore({ endpoints: [etcd.url], prefix: '/coreos.com/network', nodeName: 'n1' });
  t.teardown(() => store.close());
  const own = await store.acquire({ config, attributes: leaseAttributes('192.0.2.1'), previous: undefined });
  const heard = record(store);
  await heard.until('all', () => heard.keys().length === 3);

  await etcd.down();
  etcd.wipe('another');
  await etcd.up();
  await heard.until('the others kept', () => heard.keptKeys.length === 2);
  t.same(heard.keys(), OTHERS);
  t.match(heard.keptWhy, /^the etcd cluster [0-9a-f]+ answers instead of [0-9a-f]+$/);
  const again = await store.acquire({ config, attributes: leaseAttributes('192.0.2.1'), previous: own });
  t.equal(again.key, own.key, "the node's own lease is written again as it was");
  await fill(201);
  await heard.until('one back', () => heard.keptKeys.length === 1);
  t.same(heard.keys(), [...OTHERS, own.key].sort());

  // A list that comes back whole from the same cluster, and one without anybody.
  await fill(202);
  await heard.until('all back', () => heard.keptKeys.length === 0);
  await etcd.down();
  await etcd.up();
  await heard.until('the store back', () => heard.events.at(-1) === 'up');
  t.same(heard.keptKeys, []);
  await etcd.ctl('del', '/coreos.com/network/subnets/10.7.201.0-24');
  await etcd.ctl('del', '/coreos.com/network/subnets/10.7.202.0-24');
  await heard.until('both gone', () => heard.keys().join() === own.key);
  t.same(heard.keptKeys, [], 'deleted one by one, they are gone');
});

t.test('an API server without the other Nodes', async t => {
  const api = await KubeApi.start();
  t.teardown(() => api.down());
  const annotations = (n: number) => ({
    [`${P}/kube-subnet-manager`]: 'true',
    [`${P}/backend-type`]: 'vxlan',
    [`${P}/backend-data`]: `{"VNI":1,"VtepMAC":"0a:00:00:00:02:0${n}"}`,
    [`${P}/public-ip`]: `192.0.2.${n}`,
  });
  const add = (n: number) => api.addNode(`n${n}`, { podCIDRs: [`10.244.${n}.0/24`] }, annotations(n));
  for (const n of [1, 2, 3]) add(n);
  const directory = mkdtempSync(join(tmpdir(), 'rs-kube-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const access = findAccess(api.url, '');
  const configPath = join(directory, 'net-conf.json');
  const store = new KubeStore({
    access,
    nodeName: 'n1',
    annotationPrefix: P,
    configPath,
    setCondition: true,
  });
  t.teardown(() => store.close());
  const heard = record(store);
  await heard.until('all', () => heard.keys().length === 3);
  const lose = (...numbers: number[]) => {
    api.cutWatches();
    for (const n of numbers) api.nodes.delete(`n${n}`);
    api.annotate('n1', { lost: numbers.join() });
    api.compact();
  };
  lose(2, 3);
  await heard.until('both kept', () => heard.keptKeys.length === 2);
  t.same(heard.keys(), ['n1', 'n2', 'n3']);
  add(2);
  await heard.until('one back', () => heard.keptKeys.length === 1);
  // Another Node gets the subnet of the one that is kept.
  api.addNode('n4', { podCIDRs: ['10.244.3.0/24'] }, annotations(4));
  await heard.until('it replaced', () => heard.keptKeys.length === 0);
  t.same(heard.keys(), ['n1', 'n2', 'n4']);
  lose(2);
  await heard.until('one of two gone', () => heard.keys().join() === 'n1,n4');
  api.deleteNode('n4');
  await heard.until('the last one deleted', () => heard.keys().join() === 'n1');
  t.same(heard.keptKeys, []);
});

async function files(t: Test) {
  const root = mkdtempSync(join(tmpdir(), 'rs-files-'));
  t.teardown(() => rmSync(root, { recursive: true, force: true }));
  const path = join(root, 'net');
  mkdirSync(join(path, 'subnets'), { recursive: true });
  const { text, config } = netConf();
  writeFileSync(join(path, 'config.json'), text);
  for (const n of [201, 202]) writeFileSync(join(path, 'subnets', `10.7.${n}.0-24`), lease(n));
  const store = new FileStore({ path, nodeName: 'n1', pollMs: 100 });
  t.teardown(() => store.close());
  const own = await store.acquire({ config, attributes: leaseAttributes('192.0.2.1'), previous: undefined });
  const heard = record(store);
  await heard.until('all', () => heard.keys().length === 3);
  return { path, store, own, heard, config };
}

t.test('a shared directory without its volume', async t => {
  const { path, store, own, heard, config } = await files(t);
  renameSync(path, `${path}.away`);
  mkdirSync(join(path, 'subnets'), { recursive: true });
  await heard.until('both kept', () => heard.keptKeys.length === 2);
  t.same(heard.keys(), OTHERS);
  t.match(heard.keptWhy, /config\.json and the lease of this node are gone/);
  const again = await store.acquire({ config, attributes: leaseAttributes('192.0.2.1'), previous: own });
  t.equal(again.key, own.key);
  rmSync(path, { recursive: true });
  renameSync(`${path}.away`, path);
  await heard.until('all back', () => heard.keptKeys.length === 0 && heard.keys().length === 3);
});

t.test('a shared directory that is emptied in place', async t => {
  const { path, heard } = await files(t);
  rmSync(path, { recursive: true });
  mkdirSync(join(path, 'subnets'), { recursive: true });
  await heard.until('both kept', () => heard.keptKeys.length === 2);
  t.same(heard.keys(), OTHERS);
});

t.test('leases that are removed from a shared directory are gone', async t => {
  const { path, own, heard } = await files(t);
  for (const key of OTHERS) rmSync(join(path, 'subnets', key));
  await heard.until('both gone', () => heard.keys().join() === own.key);
  t.same(heard.keptKeys, []);
});
