import { readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import t, { type Test } from 'tap';
import { parse, stringify } from 'yaml';
import { CHECKOUT } from '../../../bench/lab/tool.ts';
import { parseFlags } from '../../../src/agent/config/flags.ts';
import { parseNetConf } from '../../../src/agent/config/net-conf.ts';
import { installCni } from '../../../src/cni/install.ts';
import { must } from '../../../src/lab/command.ts';
import {
  API_VERSIONS,
  faultsOf,
  helm,
  type KubeObject,
  kustomize,
  objectsIn,
  packageChart,
  render,
  skipUnlessInstalled,
} from '../../fixtures/kube/chart.ts';

/*
 * The Helm chart and the kustomize base, rendered by the real programs: the defaults are the flat manifest, the switches of
 * the chart are the components of kustomize, and every variation is valid for the API and for the agent.
 */

const DEPLOY = `${CHECKOUT}docs/deploy/`;
const FLAT = `${DEPLOY}kustomize/base/kube-ripstop.yml`;
const CLEANUP = `${DEPLOY}kustomize/base/kube-ripstop-cleanup.yml`;
const read = (file: string) => objectsIn(readFileSync(file, 'utf8'));

const skip = skipUnlessInstalled('helm');
const skipSchemas = skipUnlessInstalled('helm', 'kubernetes schemas', 'prometheus-operator schemas');

const nameOf = ({ kind, metadata }: KubeObject) => `${kind} ${metadata.namespace ?? ''}/${metadata.name}`;

/**
 * The value without what has no meaning: the order of lists of named objects (volumes, mounts, ports) and the layout of
 * JSON in a ConfigMap.
 */
function canonical(value: unknown): unknown {
  if (Array.isArray(value)) {
    const items = value.map(canonical) as { name?: string }[];
    return items.every(item => typeof item?.name === 'string')
      ? items.sort((a, b) => a.name!.localeCompare(b.name!))
      : items;
  }
  if (typeof value === 'string' && value.startsWith('{')) return JSON.parse(value);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .map(([key, inner]) => [key, canonical(inner)] as const)
      .sort(),
  );
}

/** Compares object by object; what only one side has is named. */
function sameObjects(t: Test, found: readonly KubeObject[], wanted: readonly KubeObject[]): void {
  t.same(found.map(nameOf).sort(), wanted.map(nameOf).sort());
  for (const object of wanted) {
    const other = found.find(one => nameOf(one) === nameOf(object));
    t.strictSame(canonical(other), canonical(object), nameOf(object));
  }
}

const find = (objects: readonly KubeObject[], kind: string, name = 'ripstop') =>
  objects.find(object => object.kind === kind && object.metadata.name === name)!;

const ALL_ON = {
  metrics: {
    enabled: true,
    podMonitor: { enabled: true },
    prometheusRule: { enabled: true },
    grafanaDashboard: { enabled: true },
  },
  networkPolicy: { enabled: true },
  kubeNetworkPolicies: { enabled: true },
};

t.test('helm lint has nothing to say', { skip }, async t => {
  for (const values of [{}, ALL_ON]) {
    const { code, stdout, stderr } = helm(t.testdir({}), ['lint', '--strict', '--quiet'], values);
    t.equal(code, 0, stdout + stderr);
  }
});

t.test('the defaults of the chart are the flat manifest', { skip }, async t => {
  const flat = read(FLAT);
  const folder = t.testdir({});
  sameObjects(
    t,
    render(folder, {}, '--no-hooks'),
    flat.filter(({ kind }) => kind !== 'Namespace'),
  );
  const namespace = find(render(folder, { namespace: { create: true } }), 'Namespace', 'kube-ripstop');
  t.strictSame(namespace, {
    ...find(flat, 'Namespace', 'kube-ripstop'),
    metadata: {
      ...find(flat, 'Namespace', 'kube-ripstop').metadata,
      annotations: { 'helm.sh/resource-policy': 'keep' },
    },
  });
});

t.test('the base of kustomize is the flat manifest', { skip: skipUnlessInstalled('kustomize') }, async t => {
  sameObjects(t, kustomize(`${DEPLOY}kustomize/base`), read(FLAT));
});

t.test(
  'the switches of the chart are the components of kustomize',
  { skip: skipUnlessInstalled('helm', 'kustomize') },
  async t => {
    const folder = t.testdir({});
    const parts = ['monitoring', 'network-policy', 'kube-network-policies'];
    const [base, ...components] = ['base', ...parts].map(name =>
      relative(folder, join(DEPLOY, 'kustomize', name)),
    );
    writeFileSync(join(folder, 'kustomization.yaml'), stringify({ resources: [base], components }));
    sameObjects(
      t,
      render(folder, { ...ALL_ON, namespace: { create: true } }, '--no-hooks').map(withoutPolicy),
      kustomize(folder),
    );
  },
);

/** Without the annotation that only Helm reads. */
function withoutPolicy(object: KubeObject): KubeObject {
  const { annotations, ...metadata } = object.metadata;
  return annotations?.['helm.sh/resource-policy'] ? { ...object, metadata } : object;
}

const CHAIN = {
  cniVersion: '1.0.0',
  name: 'cbr0',
  plugins: [
    { type: 'flannel', delegate: { hairpinMode: true, isDefaultGateway: true } },
    { type: 'portmap', capabilities: { portMappings: true } },
  ],
};

/** Values that differ from the defaults, each switch on and off. */
const VARIATIONS: Readonly<Record<string, object>> = {
  defaults: {},
  'everything on': { ...ALL_ON, uninstall: { cni: true }, namespace: { create: true } },
  'everything off': {
    cni: { install: false },
    uninstall: { cleanup: false },
    agent: { flags: { 'ip-masq': false }, resources: null },
    pods: { tolerations: [] },
  },
  'metrics alone, over IPv6': { metrics: { enabled: true, address: 'fd00::1' } },
  'rules and dashboard alone': {
    metrics: {
      prometheusRule: { enabled: true, labels: { release: 'x' } },
      grafanaDashboard: { enabled: true },
    },
  },
  'policies alone': { kubeNetworkPolicies: { enabled: true, args: [], resources: null } },
  'a registry of the site': {
    image: {
      repository: 'registry:5000/x/ripstop',
      digest: `sha256:${'0'.repeat(64)}`,
      pullPolicy: 'Always',
    },
    imagePullSecrets: [{ name: 'registry' }],
  },
  'chosen nodes': {
    pods: {
      nodeSelector: { overlay: 'ripstop' },
      affinity: {
        nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [] } },
      },
      labels: { team: 'net', app: 'mine' },
      annotations: { note: 'x' },
      updateStrategy: { type: 'OnDelete', rollingUpdate: null },
    },
  },
  'a chain of the site': { cni: { chain: CHAIN, binDir: '/srv/cni/bin', confDir: '/srv/cni/net.d' } },
  'executables alone': { cni: { writeConf: false } },
  'many flags': {
    agent: {
      flags: { iface: ['eth0', 'eth1'], workers: 2, 'offload-tso': false, 'log-level': 'info,store=debug' },
      env: [{ name: 'OTEL_EXPORTER_OTLP_ENDPOINT', value: 'http://collector:4318' }],
      privileged: true,
      healthzPort: 9000,
    },
  },
  'two families': {
    netConf: {
      EnableIPv6: true,
      IPv6Network: 'fd00:10:244::/56',
      Backend: { VNI: 7, Ripstop: { workers: 2, offloads: { tso: false } } },
    },
  },
  'plain routes': { netConf: { Backend: { Type: 'host-gw' } } },
};

t.test('every variation is valid for the API', { skip: skipSchemas }, async t => {
  for (const version of API_VERSIONS)
    for (const [what, values] of Object.entries(VARIATIONS))
      t.same(await faultsOf(render(t.testdir({}), values), version), [], `${what}, ${version}`);
  const [account] = render(t.testdir({}), {});
  for (const version of API_VERSIONS)
    t.same(
      await faultsOf([...read(FLAT), ...read(CLEANUP).map(named)], version),
      [],
      `manifests, ${version}`,
    );
  const faultsWith = (object: KubeObject, more: object) =>
    faultsOf([{ ...object, ...more }], API_VERSIONS[0]!);
  t.match(await faultsWith(account!, { automountToken: true }), [/automountToken/], 'an unknown key');
  const monitor = find(render(t.testdir({}), ALL_ON), 'PodMonitor');
  t.match(await faultsWith(monitor, { spec: { selector: 1 } }), [/PodMonitor ripstop: .*selector/]);
});

t.test('every variation is understood by agent and plugins', { skip }, async t => {
  for (const [what, values] of Object.entries(VARIATIONS)) {
    const folder = t.testdir({});
    const objects = render(folder, values);
    const pod = find(objects, 'DaemonSet').spec.template.spec;
    const [command, ...flags] = pod.containers[0].args;
    t.equal(command, 'agent', what);
    t.equal(parseFlags(flags, {}).boolean('kube-subnet-mgr'), true);
    const { data } = find(objects, 'ConfigMap');
    t.ok(parseNetConf(data['net-conf.json'], what, { ranges: false }));
    if (data['cni-conf.json']) {
      const confFile = join(folder, 'cni-conf.json');
      writeFileSync(confFile, data['cni-conf.json']);
      installCni({
        binDir: join(folder, 'bin'),
        confDir: join(folder, 'net.d'),
        confFile,
        names: ['bridge'],
      });
    }
    const mounted = [...(pod.initContainers ?? []), ...pod.containers].flatMap((one: Container) =>
      one.volumeMounts.map(({ name }) => name),
    );
    t.same(new Set(mounted), new Set(pod.volumes.map(({ name }: { name: string }) => name)), 'volumes');
  }
});

/** With the name that the server makes of `generateName`. */
const named = (object: KubeObject): KubeObject => ({
  ...object,
  metadata: { ...object.metadata, name: object.metadata.name ?? 'made' },
});

interface Container {
  readonly name: string;
  readonly args: readonly string[];
  readonly image: string;
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[];
}

t.test('values reach the objects', { skip }, async t => {
  const daemonSet = (what: keyof typeof VARIATIONS) =>
    find(render(t.testdir({}), VARIATIONS[what]!), 'DaemonSet').spec.template;
  const chosen = daemonSet('chosen nodes');
  t.same(chosen.spec.nodeSelector, { 'kubernetes.io/os': 'linux', overlay: 'ripstop' });
  t.match(chosen.metadata, { labels: { app: 'ripstop', team: 'net' }, annotations: { note: 'x' } });
  const registry = daemonSet('a registry of the site').spec;
  t.same(registry.imagePullSecrets, [{ name: 'registry' }]);
  t.match(registry.containers[0], {
    image: `registry:5000/x/ripstop@sha256:${'0'.repeat(64)}`,
    imagePullPolicy: 'Always',
  });
  const flags = daemonSet('many flags').spec.containers[0];
  for (const flag of ['--iface=eth0', '--iface=eth1', '--workers=2', '--offload-tso=false'])
    t.ok(flags.args.includes(flag), flag);
  t.same(flags.securityContext, { privileged: true });
  t.match(flags.ports, [{ name: 'health', containerPort: 9000 }]);
  const [install] = daemonSet('a chain of the site').spec.initContainers;
  t.ok(install.args.includes('--conf=/etc/kube-flannel/cni-conf.json'));
  t.ok(
    daemonSet('metrics alone, over IPv6').spec.containers[0].args.includes(
      '--metrics-address=[fd00::1]:9433',
    ),
  );
  t.notOk(daemonSet('everything off').spec.initContainers);
});

t.test('helm uninstall cleans each node as the cleanup Job does', { skip }, async t => {
  const hooks = render(t.testdir({}), { uninstall: { cni: true } }).filter(
    ({ metadata }) => metadata.annotations?.['helm.sh/hook'] === 'post-delete',
  );
  t.same(
    hooks.map(({ kind }) => kind),
    ['ServiceAccount', 'ConfigMap', 'Role', 'RoleBinding', 'DaemonSet', 'Job'],
  );
  const weight = ({ metadata }: KubeObject) => Number(metadata.annotations!['helm.sh/hook-weight']);
  const [set, wait] = [
    find(hooks, 'DaemonSet', 'ripstop-uninstall'),
    find(hooks, 'Job', 'ripstop-uninstall'),
  ];
  t.ok(weight(wait) > weight(set) && weight(set) > weight(hooks[0]!), 'in their order');
  const [job] = read(CLEANUP) as [KubeObject];
  const [cleanup, cni] = set.spec.template.spec.initContainers;
  const [wanted] = job.spec.template.spec.containers;
  t.strictSame(canonical(cleanup), canonical(wanted), 'the same container');
  for (const volume of job.spec.template.spec.volumes)
    t.ok(
      set.spec.template.spec.volumes.some((one: object) => isDeepStrictEqual(one, volume)),
      volume.name,
    );
  t.same(cni.args.slice(0, 3), ['cni', 'uninstall', '--rules']);
  const agent = find(render(t.testdir({}), {}), 'DaemonSet').spec.template.spec;
  for (const key of ['nodeSelector', 'tolerations', 'hostNetwork', 'priorityClassName'])
    t.same(set.spec.template.spec[key], agent[key], `${key}: the nodes of the agent`);
  const dockerfile = readFileSync(`${DEPLOY}Dockerfile`, 'utf8');
  t.match(dockerfile, 'ENTRYPOINT ["node",', 'the image has the program that waits');
  t.same(
    render(t.testdir({}), { uninstall: { cleanup: false } }).filter(
      ({ metadata }) => metadata.annotations?.['helm.sh/hook'],
    ),
    [],
  );
});

t.test('what the chart brings from other files is whole', { skip }, async t => {
  const objects = render(t.testdir({}), ALL_ON);
  t.same(find(objects, 'PrometheusRule').spec, parse(readFileSync(`${DEPLOY}prometheus-rules.yml`, 'utf8')));
  t.same(
    JSON.parse(find(objects, 'ConfigMap', 'ripstop-dashboard').data['ripstop.json']),
    JSON.parse(readFileSync(`${DEPLOY}kustomize/monitoring/grafana-dashboard.json`, 'utf8')),
  );
});

t.test('the archive of the chart has the files that the checkout links', { skip }, async t => {
  const folder = t.testdir({});
  const { code, stdout, stderr } = helm(
    folder,
    ['template', '--kube-version=1.33.0', 'ripstop'],
    ALL_ON,
    packageChart(folder),
  );
  t.equal(code, 0, stderr);
  t.equal(stderr, '', 'without a word about links');
  t.same(objectsIn(stdout), render(folder, ALL_ON));
});

t.test(
  'the examples of the guide are valid',
  { skip: skipSchemas || skipUnlessInstalled('kustomize') },
  async t => {
    const page = readFileSync(`${CHECKOUT}docs/guides/operate/helm.md`, 'utf8');
    const examples = [...page.matchAll(/^( *)```yaml\n((?:.*\n)*?) *```/gm)].map(([, indent, text]) =>
      text!.replaceAll(new RegExp(`^${indent}`, 'gm'), ''),
    );
    t.equal(examples.length, 3);
    for (const text of examples) {
      const folder = t.testdir({});
      const isOverlay = text.includes('resources:');
      const here = text.replaceAll('docs/deploy', relative(folder, `${CHECKOUT}docs/deploy`));
      if (isOverlay) writeFileSync(join(folder, 'kustomization.yaml'), here);
      const objects = isOverlay ? kustomize(folder) : render(folder, parse(text));
      t.same(await faultsOf(objects, API_VERSIONS[1]!), []);
      const { data } = find(objects, 'ConfigMap');
      t.ok(parseNetConf(data['net-conf.json'], 'net-conf.json', { ranges: false }));
      t.match(find(objects, 'DaemonSet').spec.template.spec.containers[0].image, /ripstop:\d/);
    }
  },
);

t.test('the commands of the workflow for real clusters have values of the chart', { skip }, async t => {
  for (const kind of ['kind', 'k3s']) {
    const printed = must([process.execPath, `${CHECKOUT}.ci/cluster.mjs`, kind, '--print']);
    t.match(printed, /printed, nothing was run/);
    const commands = [...printed.matchAll(/^\$ helm (?:install|upgrade) ripstop docs\/deploy\/helm (.*)$/gm)];
    t.equal(commands.length, kind === 'kind' ? 3 : 2);
    for (const [, options] of commands) {
      const objects = render(
        t.testdir({}),
        {},
        ...options!.split(' ').filter(one => one.startsWith('--set')),
      );
      t.ok(find(objects, 'DaemonSet'), options!);
    }
  }
});

t.test('helm refuses bad values and says where', { skip }, async t => {
  for (const [values, error] of [
    [{ agent: { flags: { 'healthz-port': 1 } } }, /agent[./]flags\b.*healthz-port/],
    [{ netConf: { Backend: { Type: 'ipip' } } }, /netConf[./]Backend[./]Type\b.*udp/],
    [{ cni: { chain: { name: 'x' } } }, /cni[./]chain\b.*plugins/s],
    [{ metrics: { podMonitor: { enabled: true } } }, /set metrics\.enabled=true/],
  ] as const)
    t.throws(() => render(t.testdir({}), values), { message: error });
});
