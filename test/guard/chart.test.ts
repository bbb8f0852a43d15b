import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv } from 'ajv';
import t from 'tap';
import { parse } from 'yaml';
import { ROOT, sourcesBelow } from './checks/sources.ts';
import { flagsSchema, netConfSchema } from './docs/generated/chart.ts';
import { renderPrometheusRule } from './docs/generated/explain.ts';

/*
 * What of the Helm chart needs no helm: the schema is that of the agent's own tables, it covers every value and refuses bad
 * ones, and templates and values name each other. test/interop/kube/chart.test.ts renders it.
 */

const CHART = 'docs/deploy/helm';
const SCHEMA = join(ROOT, CHART, 'values.schema.json');

interface Schema {
  readonly $ref?: string;
  readonly description?: string;
  readonly properties?: Record<string, Schema>;
  readonly additionalProperties?: Schema | false;
  readonly type?: string | string[];
  readonly items?: Schema;
}

const schema = JSON.parse(readFileSync(SCHEMA, 'utf8'));
const values = parse(readFileSync(join(ROOT, CHART, 'values.yaml'), 'utf8'));
const validate = new Ajv({
  allErrors: true,
  strict: true,
  strictTypes: false,
  strictRequired: false,
}).compile(schema);

/** Errors of `values.yaml` with `given` in it, as helm merges them: objects by key, everything else whole. */
function errorsOf(given: unknown): string[] {
  validate(merged(values, given));
  return (validate.errors ?? []).map(
    ({ instancePath, message, params }) => `${instancePath} ${message} ${Object.values(params).join()}`,
  );
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function merged(base: unknown, given: unknown): unknown {
  if (!isObject(base) || !isObject(given)) return given;
  const result = { ...base };
  for (const [key, value] of Object.entries(given)) result[key] = merged(base[key], value);
  return result;
}

t.test('the schema has the flags and the network configuration of the agent', async t => {
  const wanted = structuredClone(schema);
  wanted.properties.netConf = netConfSchema();
  wanted.properties.agent.properties.flags = flagsSchema();
  const text = `${JSON.stringify(wanted, null, 2)}\n`;
  if (process.env.UPDATE_DOCS === '1') writeFileSync(SCHEMA, text);
  t.equal(readFileSync(SCHEMA, 'utf8'), text, 'UPDATE_DOCS=1 node dist/test/guard/chart.test.js writes it');
});

t.test('the PrometheusRule of the kustomize component has the alerts', async t => {
  const file = join(ROOT, 'docs/deploy/kustomize/monitoring/prometheus-rule.yml');
  const wanted = renderPrometheusRule();
  if (process.env.UPDATE_DOCS === '1') writeFileSync(file, wanted);
  t.equal(readFileSync(file, 'utf8'), wanted, 'UPDATE_DOCS=1 node dist/test/guard/chart.test.js writes it');
});

/** Objects of the API and of CNI whose keys the chart passes on. */
const PASSED_ON = ['global', 'pods.affinity', 'cni.chain'];

const resolved = (one: Schema): Schema =>
  one.$ref ? schema.definitions[one.$ref.replace('#/definitions/', '')] : one;

/** Paths of the values that a schema describes: of an object with known keys these keys, of anything else itself. */
function pathsOf(one: Schema, path: string[] = []): string[] {
  const { properties, additionalProperties } = resolved(one);
  if (!properties || PASSED_ON.includes(path.join('.'))) return [path.join('.')];
  if (additionalProperties !== false) throw new Error(`${path.join('.')} accepts unknown keys`);
  return Object.entries(properties).flatMap(([key, inner]) => pathsOf(inner, [...path, key]));
}

/** Paths of the leaves of values.yaml; an empty object is a leaf. */
function leavesOf(value: unknown, path: string[] = []): string[] {
  if (!isObject(value) || Object.keys(value).length === 0) return [path.join('.')];
  return Object.entries(value).flatMap(([key, inner]) => leavesOf(inner, [...path, key]));
}

const isWithin = (path: string, outer: string) => path === outer || path.startsWith(`${outer}.`);

t.test('every value is in the schema, and every key of the schema in values.yaml', async t => {
  t.same(errorsOf({}), []);
  const described = pathsOf(schema);
  const leaves = leavesOf(values);
  t.ok(leaves.length > 40);
  t.same(
    leaves.filter(leaf => !described.some(path => isWithin(leaf, path) || isWithin(path, leaf))),
    [],
  );
  // Shared parts have keys that this chart's defaults leave to Kubernetes, `flags` and `netConf` those of the agent.
  const optional = /^(global|netConf|agent\.flags)(\.|$)|(Probe|resources|rollingUpdate)\./;
  t.same(
    described.filter(
      path => !optional.test(path) && !leaves.some(leaf => isWithin(leaf, path) || isWithin(path, leaf)),
    ),
    [],
  );
});

t.test('every value has a meaning in the schema', async t => {
  const lacking = (one: Schema, path: string): string[] => {
    const inner = resolved(one);
    const about = one.description ?? inner.description ?? (inner.properties && 'of its keys');
    return [
      ...(about === undefined ? [path] : []),
      ...Object.entries(inner.properties ?? {}).flatMap(([key, value]) => lacking(value, `${path}.${key}`)),
    ];
  };
  t.same(lacking({ ...schema.properties.agent, properties: schema.properties }, ''), []);
});

t.test('templates and values name each other', async t => {
  const templates = sourcesBelow(`${CHART}/templates`, ['.yaml', '.tpl', '.txt']);
  t.ok(templates.length > 7);
  const named = new Set(
    templates.flatMap(({ text }) => [...text.matchAll(/\.Values\.([\w.]*\w)/g)].map(([, path]) => path!)),
  );
  const leaves = leavesOf(values);
  t.same(
    [...named].filter(path => !leaves.some(leaf => isWithin(leaf, path) || isWithin(path, leaf))),
    [],
    'templates name known values',
  );
  t.same(
    leaves.filter(leaf => ![...named].some(path => isWithin(leaf, path))),
    [],
    'every value is used',
  );
  // A whole group in one name would count for all of its values.
  const groups = ['agent', 'cni', 'pods', 'metrics', 'kubeNetworkPolicies', 'uninstall'];
  t.same(
    [...named].filter(path => groups.includes(path)),
    [],
  );
});

t.test('a bad value is refused with its path', async t => {
  const bad: [object, RegExp][] = [
    [{ netConf: { Network: 1 } }, /^\/netConf\/Network must be string/],
    [{ netConf: { SubnetLength: 24 } }, /^\/netConf must NOT have additional properties SubnetLength/],
    [{ netConf: { Backend: { Type: 'ipip' } } }, /^\/netConf\/Backend\/Type must be equal to one of/],
    [{ netConf: { Backend: { Type: 'udp', VNI: 1 } } }, /^\/netConf\/Backend .*VNI/],
    [
      { netConf: { Backend: { Ripstop: { workers: 99 } } } },
      /^\/netConf\/Backend\/Ripstop\/workers must be <= 32/,
    ],
    [
      { agent: { flags: { 'healthz-port': 1 } } },
      /^\/agent\/flags must NOT have additional properties healthz-port/,
    ],
    [{ agent: { flags: { iface: 'eth0' } } }, /^\/agent\/flags\/iface must be array/],
    [{ agent: { flags: { workers: 0 } } }, /^\/agent\/flags\/workers must be >= 1/],
    [{ agent: { healthzPort: 0 } }, /^\/agent\/healthzPort must be >= 1/],
    [
      { agent: { resources: { request: {} } } },
      /^\/agent\/resources must NOT have additional properties request/,
    ],
    [{ cni: { chain: { name: 'x' } } }, /^\/cni\/chain must have required property 'plugins'/],
    [{ cni: { binDir: 'opt' } }, /^\/cni\/binDir must match pattern/],
    [{ image: { digest: 'abc' } }, /^\/image\/digest must match pattern/],
    [{ image: { repository: 'a b' } }, /^\/image\/repository must match pattern/],
    [{ imagePullSecrets: ['x'] }, /^\/imagePullSecrets\/0 must be object/],
    [{ metrics: { podMonitor: { interval: '30' } } }, /^\/metrics\/podMonitor\/interval must match pattern/],
    [{ pods: { nodeSelector: { overlay: true } } }, /^\/pods\/nodeSelector\/overlay must be string/],
    [{ uninstall: { timeoutSeconds: '5m' } }, /^\/uninstall\/timeoutSeconds must be integer/],
    [{ networkPolicies: {} }, /^ must NOT have additional properties networkPolicies/],
  ];
  for (const [given, error] of bad) {
    const errors = errorsOf(given);
    t.ok(
      errors.some(one => error.test(one)),
      `${error}: ${errors.join('; ')}`,
    );
  }
  const good = [
    { agent: { flags: { iface: ['eth0'], workers: 2, 'data-plane': 'kernel', 'log-level': 'debug' } } },
    {
      netConf: {
        EnableIPv6: true,
        IPv6Network: 'fd00::/48',
        Backend: { VNI: 7, Ripstop: { offloads: { tso: false } } },
      },
    },
    { cni: { chain: { name: 'cbr0', cniVersion: '1.0.0', plugins: [{ type: 'flannel', delegate: {} }] } } },
    { image: { repository: 'registry:5000/a/ripstop', digest: `sha256:${'a'.repeat(64)}` } },
  ];
  for (const given of good) t.same(errorsOf(given), [], JSON.stringify(given));
});
