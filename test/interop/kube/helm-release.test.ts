import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { stringify } from 'yaml';
import { CHART, helmCommand, skipUnlessInstalled } from '../../fixtures/kube/chart.ts';
import { ClusterObjects, type KubeObject } from '../../fixtures/kube/cluster-objects.ts';

/*
 * The life of a release: the real helm installs, changes and uninstalls the chart in a cluster that has objects and no
 * nodes. Jobs end at once there.
 */

const skip = skipUnlessInstalled('helm');
const run = promisify(execFile);

class Cluster {
  readonly objects: ClusterObjects;
  /** Objects that were made or deleted while hooks ran, in order: `+DaemonSet ripstop-uninstall`. */
  readonly history: string[] = [];
  readonly #folder: string;
  /** The status of each new Job. */
  jobStatus: object = { succeeded: 1, conditions: [{ type: 'Complete', status: 'True' }] };

  private constructor(folder: string, objects: ClusterObjects) {
    this.#folder = folder;
    this.objects = objects;
  }

  static async start(t: Test): Promise<Cluster> {
    const cluster = new Cluster(t.testdir({}), await ClusterObjects.start());
    t.teardown(() => cluster.objects.stop());
    cluster.objects.put({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'kube-ripstop' } });
    cluster.objects.follow = async changed => {
      const { kind, metadata } = changed;
      const isThere = cluster.names().includes(`${kind} ${metadata.name}`);
      if (!metadata.name.startsWith('sh.helm.'))
        cluster.history.push(`${isThere ? '+' : '-'}${kind} ${metadata.name}`);
      if (kind === 'Job' && isThere) changed.status = cluster.jobStatus;
    };
    return cluster;
  }

  /** All objects but the namespace and the records of Helm. */
  names(): string[] {
    return [
      'ServiceAccount',
      'ConfigMap',
      'ClusterRole',
      'ClusterRoleBinding',
      'Role',
      'RoleBinding',
      'DaemonSet',
      'Job',
    ]
      .flatMap(kind => this.objects.ofKind(kind))
      .filter(({ metadata }) => !metadata.name.startsWith('sh.helm.'))
      .map(({ kind, metadata }) => `${kind} ${metadata.name}`);
  }

  find(kind: string, name = 'ripstop'): KubeObject {
    return this.objects.ofKind(kind).find(({ metadata }) => metadata.name === name)!;
  }

  /** Runs helm for the release. @throws with its output when it fails */
  async helm(command: readonly string[], values?: object): Promise<string> {
    const file = join(this.#folder, 'values.yaml');
    if (values) writeFileSync(file, stringify(values));
    const [program, ...args] = helmCommand(this.#folder, [
      ...command,
      ...(values ? [`--values=${file}`, '--disable-openapi-validation'] : []),
      `--kube-apiserver=${this.objects.url}`,
      '--namespace=kube-ripstop',
    ]);
    const { stdout, stderr } = await run(program!, args);
    return stdout + stderr;
  }
}

const CHART_ARGS = ['ripstop', CHART];

t.test('a release is installed, changed and uninstalled with a cleanup of the nodes', { skip }, async t => {
  const cluster = await Cluster.start(t);
  t.match(await cluster.helm(['install', ...CHART_ARGS], {}), /STATUS: deployed.*rollout status daemonset/s);
  const installed = cluster.names();
  t.same(installed.length, 7);
  t.notOk(
    installed.some(name => name.includes('uninstall')),
    'no hook has run',
  );

  await t.rejects(cluster.helm(['upgrade', ...CHART_ARGS], { netConf: { Network: 4 } }), {
    message: /netConf[./]Network/,
  });
  t.match(cluster.find('ConfigMap').data['net-conf.json'], '10.244.0.0/16', 'nothing was changed');
  await cluster.helm(['upgrade', ...CHART_ARGS], { netConf: { Network: '10.42.0.0/16' } });
  t.match(JSON.parse(cluster.find('ConfigMap').data['net-conf.json']), { Network: '10.42.0.0/16' });

  cluster.history.length = 0;
  t.match(await cluster.helm(['uninstall', 'ripstop']), /uninstalled/);
  t.same(cluster.names(), [], 'neither the release nor its hooks are left');
  t.ok(cluster.find('Namespace', 'kube-ripstop'));
  const at = (change: string) => {
    const index = cluster.history.indexOf(change);
    t.ok(index >= 0, change);
    return index;
  };
  const made = at('+DaemonSet ripstop-uninstall');
  for (const name of installed) t.ok(at(`-${name}`) < made, `${name} is gone before`);
  for (const kind of ['ServiceAccount', 'ConfigMap', 'Role', 'RoleBinding'])
    t.ok(at(`+${kind} ripstop-uninstall`) < made, `${kind} is there before`);
  t.ok(at('+Job ripstop-uninstall') > made);
  t.ok(
    at('-DaemonSet ripstop-uninstall') > at('+Job ripstop-uninstall'),
    'it stays until the Job has succeeded',
  );
});

t.test('a cleanup that does not end in time is reported', { skip }, async t => {
  const cluster = await Cluster.start(t);
  await cluster.helm(['install', ...CHART_ARGS], {});
  cluster.jobStatus = {
    failed: 1,
    conditions: [{ type: 'Failed', status: 'True', reason: 'BackoffLimitExceeded' }],
  };
  await t.rejects(cluster.helm(['uninstall', 'ripstop']), {
    message: /ripstop-uninstall failed|BackoffLimitExceeded/,
  });
  t.same(cluster.names(), ['Job ripstop-uninstall'], 'the Job stays, as its log names the nodes');
});

t.test('without hooks nothing is cleaned', { skip }, async t => {
  const cluster = await Cluster.start(t);
  await cluster.helm(['install', ...CHART_ARGS], { uninstall: { cleanup: false } });
  cluster.history.length = 0;
  await cluster.helm(['uninstall', 'ripstop']);
  t.same(
    cluster.history.filter(change => change.startsWith('+')),
    [],
  );
});
