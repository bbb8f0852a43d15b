import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { EtcdStore } from '../../../src/agent/store/etcd/store.ts';
import { until } from '../../../src/lab/until.ts';
import { EtcdServer } from '../../fixtures/agents/etcd-server.ts';
import { leaseAttributes, netConf, record } from '../../fixtures/agents/lease-store.ts';
import { Authority } from '../../fixtures/kube/authority.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

const ROOT = '/coreos.com/network';

t.test('rotated files of etcd (A12): taken up', { skip: skipUnless('openssl', 'etcd') }, async t => {
  const directory = mkdtempSync(join(tmpdir(), 'rs-rotation-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const at = (name: string) => join(directory, name);
  /** Writes the three files of one side. */
  const put = (side: string, authority: Authority) => {
    const { cert, key } = authority.issue(side);
    writeFileSync(at(`${side}-ca.pem`), authority.cert);
    writeFileSync(at(`${side}.pem`), cert);
    writeFileSync(at(`${side}-key.pem`), key);
  };
  const first = new Authority(directory, 'first');
  for (const side of ['server', 'ctl', 'agent']) put(side, first);
  const server = await EtcdServer.start(
    'https',
    [
      ...['--cert-file', at('server.pem'), '--key-file', at('server-key.pem')],
      ...['--client-cert-auth', '--trusted-ca-file', at('server-ca.pem')],
    ],
    ['--cacert', at('ctl-ca.pem'), '--cert', at('ctl.pem'), '--key', at('ctl-key.pem')],
  );
  t.teardown(() => server.stop());
  const { text, config } = netConf();
  await server.put(`${ROOT}/config`, text);
  const store = new EtcdStore({
    endpoints: [server.url],
    prefix: ROOT,
    nodeName: 'a',
    caFile: at('agent-ca.pem'),
    certFile: at('agent.pem'),
    keyFile: at('agent-key.pem'),
  });
  t.teardown(() => store.close());
  const attributes = leaseAttributes('192.0.2.1');
  const lease = await store.acquire({ config, attributes, previous: undefined });
  const seen = record(store);
  await seen.until('the lease', () => seen.keys().includes(lease.key));

  await server.down();
  await seen.until('the loss', () => seen.events.includes('down'));
  const second = new Authority(directory, 'second');
  for (const side of ['server', 'ctl']) put(side, second);
  await server.up();
  await t.rejects(store.networkConfig(), { code: 'ESTORE' });
  rmSync(at('agent.pem'));
  await t.rejects(
    store.networkConfig(),
    { code: 'ESTORE', message: /--etcd-certfile.*agent\.pem/ },
    'a file that is absent for a moment says nothing about the network configuration',
  );
  const ups = seen.events.filter(event => event === 'up').length;
  put('agent', second);
  await until('the store', async () => (await store.networkConfig()).text === text);
  await seen.until('the watch', () => seen.events.filter(event => event === 'up').length > ups);
});
