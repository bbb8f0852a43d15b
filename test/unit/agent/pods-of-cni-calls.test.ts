import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { PodRegistry } from '../../../src/agent/pod-registry.ts';
import { staticAddresses } from '../../../src/cni/ipam/static.ts';
import { loopback } from '../../../src/cni/main/loopback.ts';
import type { Plugin } from '../../../src/cni/skel/plugin.ts';
import { attachment, invoke, testHost } from '../cni/fixtures/harness.ts';

const NAMES = 'IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-1;K8S_POD_INFRA_CONTAINER_ID=c1';
const config = {
  cniVersion: '1.1.0',
  name: 'pods',
  type: 'static',
  ipam: { type: 'static', addresses: [{ address: '10.10.0.1/24' }, { address: 'FD00:0::1/64' }] },
};

function agent(t: Test) {
  const folder = mkdtempSync(join(tmpdir(), 'rs-pods-'));
  const pods = new PodRegistry(folder, () => {});
  t.teardown(async () => {
    await pods.flush();
    rmSync(folder, { recursive: true, force: true });
  });
  const host = { ...testHost(), agent: { trouble: () => undefined, pods } };
  const call = async (command: string, env = {}, changes: object = {}, plugin: Plugin = staticAddresses) =>
    (await invoke(plugin, attachment(command, env), { ...config, ...changes }, host)).status;
  const present = () => pods.all.filter(({ until }) => until === null);
  return { pods, present, call };
}

t.test('calls that succeed, with the names of Kubernetes in CNI_ARGS, name the addresses', async t => {
  const { present, call } = agent(t);
  t.equal(await call('ADD', { CNI_ARGS: NAMES }), 0);
  const at = { network: 'pods', containerId: 'c1', ifname: 'eth0' };
  t.match(present(), [
    { address: '10.10.0.1', namespace: 'default', name: 'web-1', ...at },
    { address: 'fd00::1', ...at },
  ]);
  t.equal(await call('GC', {}, { 'cni.dev/valid-attachments': [{ containerID: 'c1', ifname: 'eth0' }] }), 0);
  t.equal(present().length, 2);
  t.equal(await call('DEL', { CNI_CONTAINERID: 'c2' }), 0);
  t.equal(present().length, 2, 'another container');
  t.equal(await call('DEL'), 0);
  t.strictSame(present(), []);
  await call('ADD', { CNI_ARGS: NAMES });
  t.equal(await call('GC', {}, { 'cni.dev/valid-attachments': [] }), 0);
  t.strictSame(present(), []);
});

t.test('calls that fail, or that have no name, leave nothing', async t => {
  const { pods, call } = agent(t);
  t.equal(await call('ADD', { CNI_ARGS: 'K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-1;FOO=1' }), 1);
  t.equal(await call('ADD'), 0);
  t.equal(await call('ADD', { CNI_ARGS: 'K8S_POD_NAME=web-1' }), 0);
  t.strictSame(pods.all, []);
});

t.test('the loopback addresses, which every container has, are of no pod', async t => {
  const { pods } = agent(t);
  const host = { ...testHost(), agent: { trouble: () => undefined, pods } };
  const plugin: Plugin = {
    ...loopback,
    usesNamespace: false,
    add: async () => ({
      interfaces: [],
      ips: [{ address: '127.0.0.1/8' }, { address: '::1/128' }],
      routes: [],
      dns: {},
    }),
  };
  const { status } = await invoke(plugin, attachment('ADD', { CNI_ARGS: NAMES }), config, host);
  t.equal(status, 0);
  t.strictSame(pods.all, []);
});
