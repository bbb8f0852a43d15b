import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { messageOf, RipstopError } from '../../../base/errors.ts';
import {
  anyValue,
  boolean,
  type Field,
  fail,
  listOf,
  mapOf,
  openObject,
  readKnown,
  required,
  string,
} from '../../../base/schema.ts';
import { parseYaml } from '../../../base/text/yaml.ts';
import type { Credentials } from './credentials.ts';

/** What the current context of a kubeconfig names. */
export interface KubeconfigContent {
  readonly server: string;
  readonly compress: boolean;
  readonly credentials: Credentials;
}

const clusterFields = {
  server: required(string),
  'certificate-authority': string,
  'certificate-authority-data': string,
  'insecure-skip-tls-verify': boolean,
  'tls-server-name': string,
  'disable-compression': boolean,
};

/** A text that no message shows. */
const secret: Field<string> = {
  ...string,
  read: (raw, where) => (typeof raw === 'string' ? raw : fail(where, 'is not a text')),
};

const userFields = {
  token: secret,
  tokenFile: string,
  'client-certificate': string,
  'client-certificate-data': string,
  'client-key': string,
  'client-key-data': secret,
};

/** Keys whose meaning the agent does not carry out, with what to do instead. Without them it would act as another user. */
const UNSUPPORTED = {
  cluster: { 'proxy-url': 'the agent connects directly: give the address of the API server' },
  user: Object.fromEntries(
    [
      ...['exec', 'auth-provider', 'username', 'password'],
      ...['as', 'as-uid', 'as-groups', 'as-user-extra'],
    ].map(key => [key, 'give a token or a client certificate of the user']),
  ),
} as const;

const name = required(string);
const kubeconfigFields = {
  'current-context': name,
  contexts: listOf(
    openObject({ name, context: required(openObject({ cluster: name, user: string }, '')) }, ''),
  ),
  clusters: listOf(openObject({ name, cluster: mapOf(anyValue()) }, '')),
  users: listOf(openObject({ name, user: mapOf(anyValue()) }, '')),
};

/** Reads a kubeconfig and the files that it names. @throws RipstopError ECONFIG */
export function readKubeconfig(path: string): KubeconfigContent {
  const refuse = (what: string, hint?: string): never => fail(path, what, hint);
  const config = readKnown(kubeconfigFields, readYaml(path), path);
  const current = config['current-context'];
  const { context } =
    config.contexts?.find(entry => entry.name === current) ?? refuse(`no context ${current}`);
  const named =
    config.clusters?.find(entry => entry.name === context.cluster) ?? refuse(`no cluster ${context.cluster}`);
  const given = { cluster: named.cluster ?? {}, user: {} as Record<string, unknown> };
  given.user = config.users?.find(entry => entry.name === context.user)?.user ?? {};
  for (const part of ['cluster', 'user'] as const)
    for (const [key, hint] of Object.entries(UNSUPPORTED[part]))
      if (isGiven(given[part][key])) refuse(`${part} ${context[part] ?? ''}: ${key} is not supported`, hint);
  const cluster = readKnown(clusterFields, given.cluster, `${path}: cluster ${context.cluster}`);
  const user = readKnown(userFields, given.user, `${path}: user ${context.user}`);

  const beside = (file: string): string => readFile(resolve(dirname(path), file));
  const pem = (data: string | undefined, file: string | undefined): string | undefined =>
    data ? Buffer.from(data, 'base64').toString() : file && beside(file);
  const ca = pem(cluster['certificate-authority-data'], cluster['certificate-authority']);
  const cert = pem(user['client-certificate-data'], user['client-certificate']);
  const key = pem(user['client-key-data'], user['client-key']);
  const token = user.tokenFile ? beside(user.tokenFile).trim() : user.token;
  const serverName = cluster['tls-server-name'];
  return {
    server: cluster.server,
    compress: cluster['disable-compression'] !== true,
    credentials: {
      ...(ca ? { ca } : {}),
      ...(cert ? { cert } : {}),
      ...(key ? { key } : {}),
      ...(cluster['insecure-skip-tls-verify'] ? { insecure: true } : {}),
      ...(serverName ? { serverName } : {}),
      ...(token ? { token } : {}),
    },
  };
}

/** False for a key that is written without content, which clients ignore. */
function isGiven(value: unknown): boolean {
  if (typeof value === 'object' && value !== null) return Object.keys(value).length > 0;
  return value !== undefined && value !== null && value !== '' && value !== false;
}

function readYaml(path: string): unknown {
  const text = readFile(path);
  try {
    return parseYaml(text);
  } catch (error) {
    return fail(path, messageOf(error));
  }
}

/**
 * An empty file is an error: a program may be writing it, and without its content the connection would be less secure.
 * @throws RipstopError ECONFIG
 */
export function readFile(path: string): string {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new RipstopError('ECONFIG', messageOf(error));
  }
  return text.trim() === '' ? fail(path, 'the file is empty') : text;
}
