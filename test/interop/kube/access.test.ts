import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { findAccess } from '../../../src/agent/store/kube/access.ts';
import { KubeStore } from '../../../src/agent/store/kube/store.ts';
import { KubeApi } from '../../fixtures/kube/kube-api.ts';

/** A kubeconfig in a directory of its own, with one context. */
function kubeconfig(t: Test, server: string) {
  const directory = mkdtempSync(join(tmpdir(), 'rs-access-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const path = join(directory, 'kubeconfig');
  const write = (user: object, cluster: object = {}) =>
    writeFileSync(
      path,
      JSON.stringify({
        'current-context': 'c',
        contexts: [{ name: 'c', context: { cluster: 'k', user: 'u' } }],
        clusters: [{ name: 'k', cluster: { server, ...cluster } }],
        users: [{ name: 'u', user }],
      }),
    );
  return { directory, path, write };
}

async function server(t: Test) {
  const api = await KubeApi.start();
  api.addNode('n1', { podCIDR: '10.244.1.0/24' });
  t.teardown(() => api.down());
  return api;
}

function storeOf(t: Test, path: string): KubeStore {
  const store = new KubeStore({
    access: findAccess('', path),
    nodeName: 'n1',
    annotationPrefix: 'flannel.alpha.coreos.com',
    configPath: '',
    setCondition: false,
  });
  t.teardown(() => store.close());
  return store;
}

t.test('token file of a kubeconfig that is rotated: read again', async t => {
  const api = await server(t);
  const { directory, path, write } = kubeconfig(t, api.url);
  const tokenFile = join(directory, 'token');
  writeFileSync(tokenFile, 'first\n');
  api.token = 'first';
  write({ tokenFile: 'token' });
  const store = storeOf(t, path);
  t.ok(await store.overrides());
  api.token = 'second';
  await t.rejects(store.overrides(), { message: /401/ });
  writeFileSync(tokenFile, 'second');
  t.ok(await store.overrides());

  rmSync(tokenFile);
  t.ok(await store.overrides(), 'a file that is absent for a moment changes nothing');
  api.token = 'third';
  await t.rejects(store.overrides(), { code: 'EREFUSED', hint: /token: no such file|ENOENT.*token/ });
});

t.test('kubeconfig that is replaced: its new credentials are taken up', async t => {
  const api = await server(t);
  const { path, write } = kubeconfig(t, api.url);
  api.token = 'first';
  write({ token: 'first' });
  const store = storeOf(t, path);
  t.ok(await store.overrides());
  api.token = 'second';
  write({ token: 'second' });
  t.ok(await store.overrides());
});

t.test('keys of a kubeconfig that the agent does not carry out are refused by name (K9)', async t => {
  const { path, write } = kubeconfig(t, 'http://127.0.0.1:1');
  const refused = (key: string, value: unknown, part: 'user' | 'cluster' = 'user') => {
    write(part === 'user' ? { [key]: value } : {}, part === 'cluster' ? { [key]: value } : {});
    t.throws(() => findAccess('', path), { code: 'ECONFIG', message: new RegExp(`${key} is not supported`) });
  };
  refused('exec', { command: 'x' });
  refused('auth-provider', { name: 'x' });
  refused('username', 'me');
  refused('password', 's3cret');
  refused('as', 'other');
  refused('as-uid', '7');
  refused('as-groups', ['admins']);
  refused('as-user-extra', { scope: ['x'] });
  refused('proxy-url', 'http://proxy:3128', 'cluster');
  write({ as: '', 'as-groups': [], exec: null }, { 'proxy-url': '' });
  t.ok(findAccess('', path), 'keys without a value have no meaning');
});

t.test('incomplete and wrong credentials are named at the start', async t => {
  const { directory, path, write } = kubeconfig(t, 'http://127.0.0.1:1');
  write({ 'client-certificate-data': 'eA==' });
  t.throws(() => findAccess('', path), { code: 'ECONFIG', message: /only one of client certificate/ });
  write({ 'client-certificate-data': 'eA==', 'client-key-data': 'eA==' });
  t.throws(() => findAccess('', path), { code: 'ECONFIG', message: /certificate cannot be used/ });
  write({}, { 'certificate-authority': 'absent' });
  t.throws(() => findAccess('', path), { code: 'ECONFIG', message: /absent/ });
  writeFileSync(join(directory, 'empty'), '\n');
  for (const [user, cluster] of [
    [{ tokenFile: 'empty' }, {}],
    [{}, { 'certificate-authority': 'empty' }],
    [{ 'client-certificate': 'empty', 'client-key': 'empty' }, {}],
  ] as const) {
    write(user, cluster);
    t.throws(() => findAccess('', path), { code: 'ECONFIG', message: /empty: the file is empty/ });
  }
  writeFileSync(join(directory, 'ca.crt'), 'nonsense');
  write({}, { 'certificate-authority': 'ca.crt' });
  t.throws(() => findAccess('', path), { code: 'ECONFIG', message: /not a PEM certificate/ });
  t.throws(() => findAccess('', '', {}), { code: 'ECONFIG', hint: /--kubeconfig-file/ });
  t.throws(() => findAccess('nonsense', ''), { code: 'ECONFIG' });
});

t.test('service account of the pod: address, CA and token; the token is read again', async t => {
  const directory = mkdtempSync(join(tmpdir(), 'rs-access-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  writeFileSync(join(directory, 'ca.crt'), '-----BEGIN CERTIFICATE-----\n');
  writeFileSync(join(directory, 'token'), 'first\n');
  const env = { KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '6443' };
  const inside = findAccess('', '', env, directory);
  t.equal(inside.url.href, 'https://[fd00::1]:6443/');
  t.equal(inside.credentials!().token, 'first');
  writeFileSync(join(directory, 'token'), 'second\n');
  t.equal(inside.credentials!().token, 'second');
  t.equal(await KubeStore.nodeName(inside, { NODE_NAME: 'x' }), 'x');
  await t.rejects(KubeStore.nodeName(inside, {}), { code: 'ECONFIG', hint: /NODE_NAME/ });
});
