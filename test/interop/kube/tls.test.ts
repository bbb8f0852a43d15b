import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import t, { type Test } from 'tap';
import { findAccess } from '../../../src/agent/store/kube/access.ts';
import { KubeStore } from '../../../src/agent/store/kube/store.ts';
import { Authority, type Issued } from '../../fixtures/kube/authority.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

const skip = skipUnless('openssl');

/** An API server with TLS that answers with the name of the client's certificate, 401 to clients of other authorities. */
class TlsServer {
  readonly #server: Server;
  /** Connections that were accepted. */
  connections = 0;

  constructor(own: Issued, clients: Authority) {
    this.#server = createServer(
      { ...own, ca: clients.cert, requestCert: true, rejectUnauthorized: false },
      (request, response) => {
        const socket = request.socket as TLSSocket;
        const { CN } = socket.getPeerCertificate().subject ?? {};
        if (CN && !socket.authorized) response.writeHead(401);
        response.end(JSON.stringify({ metadata: { name: 'n1', uid: CN ?? 'anonymous' } }));
      },
    );
    this.#server.on('secureConnection', () => this.connections++);
  }

  /** @returns its URL */
  async up(): Promise<string> {
    await new Promise<void>(resolve => this.#server.listen(0, '127.0.0.1', resolve));
    return `https://127.0.0.1:${this.port}`;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Another certificate, and clients of another authority. Present connections end. */
  rotate(own: Issued, clients: Authority): void {
    this.#server.setSecureContext({ ...own, ca: clients.cert });
    this.#server.closeAllConnections();
  }

  down(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

async function cluster(t: Test, alternatives?: string) {
  const directory = mkdtempSync(join(tmpdir(), 'rs-kube-tls-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const authority = new Authority(directory, 'ca');
  const server = new TlsServer(authority.issue('server', alternatives), authority);
  const url = await server.up();
  t.teardown(() => server.down());
  const put = (name: string, text: string) => writeFileSync(join(directory, name), text);
  const putClient = ({ cert, key }: Issued) => {
    put('client.crt', cert);
    put('client.key', key);
  };
  const open = (cluster: object, user: object): KubeStore => {
    const kubeconfig = {
      'current-context': 'c',
      contexts: [{ name: 'c', context: { cluster: 'k', user: 'u' } }],
      clusters: [{ name: 'k', cluster: { server: url, ...cluster } }],
      users: [{ name: 'u', user }],
    };
    put('kubeconfig', JSON.stringify(kubeconfig));
    const store = new KubeStore({
      access: findAccess('', join(directory, 'kubeconfig')),
      nodeName: 'n1',
      annotationPrefix: 'flannel.alpha.coreos.com',
      configPath: '',
      setCondition: false,
    });
    t.teardown(() => store.close());
    return store;
  };
  /** Name of the certificate under which the server sees the store. */
  const seenAs = async (store: KubeStore) => (await store.overrides()).nodeUid;
  return { directory, authority, server, put, putClient, open, seenAs };
}

const CLIENT_FILES = { 'client-certificate': 'client.crt', 'client-key': 'client.key' };

t.test('TLS: CA of the cluster, client certificate', { skip }, async t => {
  const { authority, putClient, open, seenAs } = await cluster(t);
  putClient(authority.issue('client'));
  const ca = Buffer.from(authority.cert).toString('base64');
  const store = open({ 'certificate-authority-data': ca }, CLIENT_FILES);
  t.equal(await seenAs(store), 'client', 'files in the folder of the kubeconfig, data inside it');
  await t.rejects(
    seenAs(open({}, {})),
    { code: 'ESTORE', message: /certificate/, hint: /CA file/ },
    'an unknown CA is refused',
  );
  t.equal(await seenAs(open({ 'insecure-skip-tls-verify': true }, {})), 'anonymous', 'unless told otherwise');
});

t.test('client certificate and CA files that are rotated (A12, K10): taken up', { skip }, async t => {
  const { directory, authority, server, put, putClient, open, seenAs } = await cluster(t);
  put('ca.crt', authority.cert);
  putClient(authority.issue('first'));
  const store = open({ 'certificate-authority': 'ca.crt' }, CLIENT_FILES);
  t.equal(await seenAs(store), 'first');
  t.equal(await seenAs(store), 'first');
  t.equal(server.connections, 1, 'unchanged files: the connection is used again');

  const second = authority.issue('second');
  put('client.crt', second.cert);
  t.equal(await seenAs(store), 'first', 'a certificate without its key yet changes nothing');
  put('client.key', second.key);
  t.equal(await seenAs(store), 'second');

  const other = new Authority(directory, 'other');
  server.rotate(other.issue('server'), other);
  await t.rejects(seenAs(store), { code: 'ESTORE', message: /certificate/ });
  put('ca.crt', '');
  await t.rejects(seenAs(store), { code: 'ESTORE', hint: /ca\.crt: the file is empty/ });
  put('ca.crt', 'half a file');
  await t.rejects(seenAs(store), { code: 'ESTORE', hint: /not a PEM certificate/ });
  put('ca.crt', other.cert);
  await t.rejects(seenAs(store), { code: 'EREFUSED', message: /401/ }, 'its CA, a former client certificate');
  putClient(other.issue('third'));
  t.equal(await seenAs(store), 'third');
});

t.test('service account whose CA is rotated (K10): taken up', { skip }, async t => {
  const { directory, authority, server, put } = await cluster(t);
  put('ca.crt', authority.cert);
  put('token', 'x');
  const port = String(server.port);
  const env = { KUBERNETES_SERVICE_HOST: '127.0.0.1', KUBERNETES_SERVICE_PORT: port };
  const store = new KubeStore({
    access: findAccess('', '', env, directory),
    nodeName: 'n1',
    annotationPrefix: 'flannel.alpha.coreos.com',
    configPath: '',
    setCondition: false,
  });
  t.teardown(() => store.close());
  t.ok(await store.overrides());
  const other = new Authority(directory, 'other');
  server.rotate(other.issue('server'), other);
  await t.rejects(store.overrides(), { code: 'ESTORE', message: /certificate/ });
  put('ca.crt', other.cert);
  t.ok(await store.overrides());
});

t.test('tls-server-name (K9): the name in the certificate', { skip }, async t => {
  const { authority, put, open, seenAs } = await cluster(t, 'DNS:kubernetes.example');
  put('ca.crt', authority.cert);
  const ca = { 'certificate-authority': 'ca.crt' };
  await t.rejects(seenAs(open(ca, {})), { code: 'ESTORE', hint: /tls-server-name/ });
  t.equal(await seenAs(open({ ...ca, 'tls-server-name': 'kubernetes.example' }, {})), 'anonymous');
});
