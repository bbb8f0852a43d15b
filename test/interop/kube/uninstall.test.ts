import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import t, { type Test } from 'tap';
import { CHECKOUT } from '../../../bench/lab/tool.ts';
import { Authority } from '../../fixtures/kube/authority.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/* The program with which `helm uninstall` waits for the cleanup of all nodes, with an API server over TLS. */

const PROGRAM = `${CHECKOUT}docs/deploy/helm/files/wait-for-nodes.mjs`;
const skip = skipUnless('openssl');

interface Answer {
  readonly generation?: number;
  readonly observed?: number;
  readonly wanted?: number;
  readonly ready?: number;
  readonly status?: number;
}

const pod = (node: string, status: string) => ({
  metadata: { name: `x-${node}` },
  spec: { nodeName: node },
  status: { conditions: [{ type: 'Ready', status }] },
});

/** Runs the program against a server that gives these answers about the DaemonSet one by one, and then the last again. */
async function wait(t: Test, answers: readonly Answer[], seconds: number) {
  const folder = t.testdir({ token: 'secret\n', namespace: 'kube-ripstop' });
  const authority = new Authority(folder, 'ca');
  writeFileSync(join(folder, 'ca.crt'), authority.cert);
  const requests: string[] = [];
  let next = 0;
  const server = createServer(authority.issue('api'), (request, response) => {
    requests.push(request.url!);
    const isPods = request.url!.includes('/pods');
    const {
      generation = 1,
      observed = 1,
      wanted = 2,
      ready = 0,
      status = 200,
    } = answers[Math.min(isPods ? next - 1 : next++, answers.length - 1)]!;
    const isKnown = request.headers.authorization === 'Bearer secret';
    response.writeHead(isKnown ? status : 401, { 'content-type': 'application/json' });
    response.end(
      JSON.stringify(
        isPods
          ? { items: [pod('worker-2', 'False'), pod('worker-1', 'True')] }
          : {
              metadata: { generation },
              spec: { selector: { matchLabels: { app: 'ripstop-uninstall' } } },
              status: { observedGeneration: observed, desiredNumberScheduled: wanted, numberReady: ready },
            },
      ),
    );
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const child = spawn(process.execPath, [PROGRAM, 'ripstop-uninstall', String(seconds)], {
    env: {
      SERVICE_ACCOUNT_DIR: folder,
      NODE_EXTRA_CA_CERTS: join(folder, 'ca.crt'),
      KUBERNETES_SERVICE_HOST: '127.0.0.1',
      KUBERNETES_SERVICE_PORT: String((server.address() as AddressInfo).port),
    },
  });
  const [stdout, stderr, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close'),
  ]);
  return { code, lines: stdout.trim().split('\n'), stderr: stderr.trim(), requests };
}

t.test('it ends when each node is ready, and names the nodes before', { skip }, async t => {
  const { code, lines, stderr, requests } = await wait(
    t,
    [{ observed: 0 }, { status: 503 }, { ready: 1 }, { ready: 2 }],
    600,
  );
  t.equal(code, 0, stderr);
  t.match(lines, [
    'the DaemonSet has no pods yet',
    /^GET \S+: 503/,
    '1 of 2 nodes are ready; not ready: worker-2',
    'every node is ready',
  ]);
  t.ok(requests.includes('/apis/apps/v1/namespaces/kube-ripstop/daemonsets/ripstop-uninstall'));
  t.ok(requests.includes('/api/v1/namespaces/kube-ripstop/pods?labelSelector=app%3Dripstop-uninstall'));
});

t.test('it ends at once where no node is concerned', { skip }, async t => {
  t.match(await wait(t, [{ wanted: 0 }], 600), { code: 0, lines: ['every node is ready'] });
});

t.test('it fails when a node does not become ready in time', { skip }, async t => {
  const { code, lines, stderr } = await wait(t, [{ ready: 1 }], 0);
  t.equal(code, 1);
  t.same(lines, ['1 of 2 nodes are ready; not ready: worker-2']);
  t.equal(stderr, 'not every node became ready within 0 s');
});
