import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { isDeepStrictEqual, promisify } from 'node:util';
import t from 'tap';
import { parseAllDocuments } from 'yaml';
import { CHECKOUT } from '../../../bench/lab/tool.ts';
import { parseFlags } from '../../../src/agent/config/flags.ts';
import { parseNetConf } from '../../../src/agent/config/net-conf.ts';
import { discovery } from '../../fixtures/kube/cluster-objects.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

const MANIFEST = `${CHECKOUT}docs/deploy/kustomize/base/kube-ripstop.yml`;
const CLEANUP = `${CHECKOUT}docs/deploy/kustomize/base/kube-ripstop-cleanup.yml`;
const run = promisify(execFile);

t.test('the manifest passes kubectl’s client-side dry run', { skip: skipUnless('kubectl') }, async t => {
  const server = createServer((request, response) => {
    const found = discovery(request.url!.split('?')[0]!);
    response.writeHead(found ? 200 : 404, { 'content-type': 'application/json' });
    response.end(
      JSON.stringify(
        found ?? { kind: 'Status', apiVersion: 'v1', status: 'Failure', reason: 'NotFound', code: 404 },
      ),
    );
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  // Without a server that publishes OpenAPI kubectl cannot check field names: that much was not tried.
  const { stdout } = await run(
    'kubectl',
    ['--server', url, 'apply', '--dry-run=client', '--validate=false', '-f', MANIFEST],
    { env: { ...process.env, HOME: t.testdir({}), KUBECONFIG: '/dev/null' } },
  );
  t.equal(stdout.match(/\(dry run\)/g)?.length, 8, stdout);
  const job = await run(
    'kubectl',
    ['--server', url, 'create', '--dry-run=client', '--validate=false', '-f', CLEANUP],
    { env: { ...process.env, HOME: t.testdir({}), KUBECONFIG: '/dev/null' } },
  );
  t.match(job.stdout, /^job.batch\/\S* created \(dry run\)$/m);
});

interface Named {
  name: string;
}

interface Container {
  args: string[];
  image: string;
  volumeMounts: Named[];
}

interface PodSpec {
  containers: Container[];
  initContainers?: Container[];
  volumes: Named[];
}

/** The parts of the manifest that are looked at. */
interface Manifest {
  kind: string;
  data?: Record<string, string>;
  rules?: object[];
  spec?: { template: { spec: PodSpec } };
}

t.test('what the manifest says is what the agent understands', async t => {
  const documents = parseAllDocuments(readFileSync(MANIFEST, 'utf8')).map(
    document => document.toJS() as Manifest,
  );
  const pods = documents.find(({ kind }) => kind === 'DaemonSet')!.spec!.template.spec;
  const [container] = pods.containers;
  const [command, ...flags] = container!.args;
  t.equal(command, 'agent');
  t.equal(parseFlags(flags, {}).boolean('kube-subnet-mgr'), true);
  const config = documents.find(({ kind }) => kind === 'ConfigMap')!;
  t.equal(parseNetConf(config.data!['net-conf.json']!, 'x', { ranges: false }).backend.type, 'vxlan');
  const mounts = [...(pods.initContainers ?? []), ...pods.containers].flatMap(({ volumeMounts }) =>
    volumeMounts.map(({ name }) => name),
  );
  t.same(new Set(mounts), new Set(pods.volumes.map(({ name }) => name)));
  const role = documents.find(({ kind }) => kind === 'ClusterRole')!;
  t.same(
    role.rules,
    [
      { apiGroups: [''], resources: ['nodes'], verbs: ['get', 'list', 'watch'] },
      { apiGroups: [''], resources: ['nodes/status'], verbs: ['patch'] },
    ],
    'no more than it uses',
  );
});

t.test('the cleanup Job (K6): its mounts are those of the agent on the host', async t => {
  const [daemonSet, job] = [MANIFEST, CLEANUP].map(
    path =>
      parseAllDocuments(readFileSync(path, 'utf8'))
        .map(document => document.toJS() as Manifest)
        .find(({ kind }) => kind === 'DaemonSet' || kind === 'Job')!.spec!.template.spec,
  ) as [PodSpec, PodSpec];
  const [agent, cleanup] = [daemonSet.containers[0]!, job.containers[0]!];
  t.same(cleanup.args, ['cleanup']);
  t.equal(cleanup.image, agent.image);
  const isIn = (all: readonly Named[], one: Named) => all.some(other => isDeepStrictEqual(other, one));
  for (const mount of cleanup.volumeMounts) t.ok(isIn(agent.volumeMounts, mount), mount.name);
  for (const volume of job.volumes) t.ok(isIn(daemonSet.volumes, volume), volume.name);
});
