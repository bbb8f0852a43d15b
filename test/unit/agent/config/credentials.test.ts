import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { parseFlags } from '../../../../src/agent/config/flags.ts';
import { EtcdStore } from '../../../../src/agent/store/etcd/store.ts';
import { findAccess } from '../../../../src/agent/store/kube/access.ts';
import { otlpOptions } from '../../../../src/api/otlp-metrics.ts';
import { withoutCredentials } from '../../../../src/base/credentials.ts';

t.test('a URL without user and password', async t => {
  const shown = {
    'http://h:1/x?y': 'http://h:1/x?y',
    'https://me:s3cret@h:1/x': 'https://h:1/x',
    'https://me:s3@cret@h:1/x': 'https://h:1/x',
    'https://h/a@b': 'https://h/a@b',
    'me:s3cret@h:2379': 'h:2379',
    'http://me:s3/cret@h:99': 'http://h:99',
    '--x=ftp://me:s3cret@': '--x=ftp://',
  };
  for (const [given, expected] of Object.entries(shown)) t.equal(withoutCredentials(given), expected);
});

function failure(t: Test, work: () => unknown): string {
  try {
    work();
  } catch (error) {
    return `${(error as Error).message}`;
  }
  t.fail('it should have thrown');
  return '';
}

t.test('no place shows them', async t => {
  const etcd = (...endpoints: string[]) => new EtcdStore({ endpoints, prefix: '/net', nodeName: 'a' });
  const folder = mkdtempSync(join(tmpdir(), 'rs-credentials-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const kubeconfig = join(folder, 'config');
  writeFileSync(kubeconfig, 'users: [{user: {token: s3cret}}');
  const otlp = (url: string) => otlpOptions({ OTEL_EXPORTER_OTLP_ENDPOINT: url }, 'n');
  for (const work of [
    () => etcd('ftp://me:s3cret@h'),
    () => etcd('http://me:s3cret@127.0.0.1:1'),
    () => etcd('http://127.0.0.1:1', 'me:s3cret@127.0.0.1:2'),
    () => findAccess('ftp://me:s3cret@h', '', {}),
    () => findAccess('', kubeconfig, {}),
    () => otlp('ftp://me:s3cret@h'),
    () => parseFlags(['http://me:s3cret@h'], {}),
  ]) {
    const text = failure(t, work);
    t.not(text, '');
    t.notMatch(text, /s3cret/);
  }
  t.match(otlp('http://me:s%333cret@c:4318'), {
    endpoint: {
      url: 'http://c:4318/v1/metrics',
      headers: { authorization: `Basic ${Buffer.from('me:s33cret').toString('base64')}` },
    },
  });
});

t.test('a kubeconfig in which a context has no user, and a user has no credentials', async t => {
  const path = join(t.testdir(), 'config');
  writeFileSync(
    path,
    `current-context: c
contexts: [{ name: c, context: { cluster: k } }, { name: d, context: { cluster: k, user: u } }]
clusters: [{ name: k, cluster: { server: "http://h:1" } }]
users: [{ name: u, user: null }]
`,
  );
  const access = findAccess('', path, {});
  t.strictSame(access.url, new URL('http://h:1'));
  t.strictSame(access.credentials!(), {});
});
