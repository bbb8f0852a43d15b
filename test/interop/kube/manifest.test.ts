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
import { skipUnless } from '../../fixtures/skip-unless.ts';

const MANIFEST = `${CHECKOUT}docs/deploy/kube-ripstop.yml`;
const CLEANUP = `${CHECKOUT}docs/deploy/kube-ripstop-cleanup.yml`;
const run = promisify(execFile);

const RESOURCES: Record<string, [name: string, kind: string, namespaced: boolean][]> = {
  v1: [
    ['namespaces', 'Namespace', false],
    ['serviceaccounts', 'ServiceAccount', true],
    ['configmaps', 'ConfigMap', true],
  ],
  'apps/v1': [['daemonsets', 'DaemonSet', true]],
  'batch/v1': [['jobs', 'Job', true]],
  'rbac.authorization.k8s.io/v1': [
    ['clusterroles', 'ClusterRole', false],
    ['clusterrolebindings', 'ClusterRoleBinding', false],
    ['roles', 'Role', true],
    ['rolebindings', 'RoleBinding', true],
  ],
};

/** The kinds that an API server reports (discovery); every object is absent. */
function discovery(path: string): object | undefined {
  const groups = Object.keys(RESOURCES).filter(version => version.includes('/'));
  if (path === '/api') return { kind: 'APIVersions', versions: ['v1'] };
  if (path === '/apis') {
    const entries = groups.map(version => ({
      name: version.split('/')[0],
      versions: [{ groupVersion: version, version: 'v1' }],
      preferredVersion: { groupVersion: version, version: 'v1' },
    }));
    return { kind: 'APIGroupList', apiVersion: 'v1', groups: entries };
  }
  const version = Object.keys(RESOURCES).find(
    candidate => path === (candidate === 'v1' ? '/api/v1' : `/apis/${candidate}`),
  );
  if (!version) return undefined;
  const resources = RESOURCES[version]!.map(([name, kind, namespaced]) => ({
    name,
    kind,
    namespaced,
    singularName: '',
    verbs: ['create', 'get', 'patch'],
  }));
  return { kind: 'APIResourceList', apiVersion: 'v1', groupVersion: version, resources };
}

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
