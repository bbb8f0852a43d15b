import { backendFields } from '../../../../src/agent/config/backend.ts';
import { FLAGS, type Flag } from '../../../../src/agent/config/flag-table.ts';
import { netConfFields } from '../../../../src/agent/config/net-conf.ts';
import { SETTING_NAMES, SETTINGS, settingField } from '../../../../src/agent/config/settings.ts';
import { type Fields, jsonSchema } from '../../../../src/base/schema.ts';

/* The parts of docs/deploy/helm/values.schema.json that describe what the agent reads, made from its own tables. */

/** Flags that the chart sets from other values, and those that name a file or directory that the pod does not have. */
const NOT_IN_CHART = [
  ...['kube-subnet-mgr', 'healthz-ip', 'healthz-port', 'metrics-address', 'node-name', 'net-config-path'],
  ...['store', 'store-path', 'subnet-lease-renew-margin', 'kubeconfig-file', 'web-token-file'],
  ...['instance', 'state-dir', 'subnet-file', 'cni-calls-dir'],
];

function flagSchema({ kind, range, words, doc }: Flag): object {
  const description = doc;
  if (kind === 'boolean') return { description, type: 'boolean' };
  if (range) return { description, type: 'integer', minimum: range[0], maximum: range[1] };
  if (words) return { description, enum: words };
  if (kind === 'text') return { description, type: 'string' };
  return { description, type: 'array', items: { type: 'string' } };
}

/** The flags of the agent that `agent.flags` takes. */
export function flagsSchema(): object {
  const flags = FLAGS.filter(
    ({ name, group }) => group !== 'etcd' && group !== 'inert' && !NOT_IN_CHART.includes(name),
  );
  return {
    description: 'flags of `ripstop agent` without dashes; docs/reference/flags.md has their defaults',
    type: 'object',
    properties: Object.fromEntries(flags.map(flag => [flag.name, flagSchema(flag)])),
    additionalProperties: false,
  };
}

const propertiesOf = (fields: Fields) =>
  Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, jsonSchema(field)]));

/** The object `Ripstop` of the backend. */
function settingsSchema(): object {
  const schemas = (names: typeof SETTING_NAMES) =>
    Object.fromEntries(
      names.map(name => [name.replace(/^offloads\./, ''), jsonSchema(settingField(SETTINGS[name]))]),
    );
  const isOffload = (name: string) => name.startsWith('offloads.');
  const offloads = {
    type: 'object',
    properties: schemas(SETTING_NAMES.filter(isOffload)),
    additionalProperties: false,
  };
  return {
    description: 'settings of the data plane for the whole cluster',
    type: 'object',
    properties: { ...schemas(SETTING_NAMES.filter(name => !isOffload(name))), offloads },
    additionalProperties: false,
  };
}

/** `netConf`: flannel's net-conf.json. A key of the backend is accepted by the types that have it. */
export function netConfSchema(): object {
  const types = Object.keys(backendFields);
  const all: Fields = Object.assign({}, ...Object.values(backendFields));
  const rules = Object.entries(backendFields).map(([type, fields]) => ({
    if: { properties: { Type: { const: type } } },
    // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
    then: { propertyNames: { enum: [...Object.keys(fields), 'Ripstop'] } },
  }));
  const backend = {
    type: 'object',
    required: ['Type'],
    properties: {
      ...propertiesOf(all),
      Type: { description: 'name of the backend', enum: types },
      Ripstop: settingsSchema(),
    },
    additionalProperties: false,
    allOf: rules,
  };
  return {
    description: "flannel's net-conf.json",
    type: 'object',
    required: ['Backend'],
    properties: { ...propertiesOf(netConfFields), Backend: backend },
    additionalProperties: false,
    anyOf: [{ required: ['Network'] }, { required: ['IPv6Network'] }],
  };
}
