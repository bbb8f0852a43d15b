import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { parse } from 'yaml';
import { withoutCredentials } from '../../../base/credentials.ts';
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

/** Address of the API server and the credentials for it. Texts of PEM files, not paths. */
export interface KubeAccess {
  readonly url: URL;
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly insecure?: boolean;
  /** Read before each request: mounted tokens are rotated. */
  readonly token?: () => string;
}

const ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';

/**
 * Finds the API server as flanneld does: the URL or the kubeconfig file when given (the URL wins over the one in the
 * file), else the pod's service account.
 * @throws RipstopError ECONFIG
 */
export function findAccess(
  apiUrl: string,
  kubeconfig: string,
  env: Readonly<Record<string, string | undefined>> = process.env,
  accountPath = ACCOUNT,
): KubeAccess {
  const url = apiUrl ? readUrl(apiUrl, '--kube-api-url') : undefined;
  if (kubeconfig) return fromKubeconfig(kubeconfig, url);
  if (url) return { url };
  const host = env.KUBERNETES_SERVICE_HOST;
  const port = env.KUBERNETES_SERVICE_PORT ?? '443';
  if (!host)
    throw new RipstopError(
      'ECONFIG',
      'the API server is not known',
      'run in a pod, or give --kubeconfig-file or --kube-api-url',
    );
  const tokenFile = `${accountPath}/token`;
  return {
    url: readUrl(`https://${host.includes(':') ? `[${host}]` : host}:${port}`, 'KUBERNETES_SERVICE_HOST'),
    ca: readFile(`${accountPath}/ca.crt`),
    token: () => readFile(tokenFile).trim(),
  };
}

const clusterFields = {
  server: required(string),
  'certificate-authority': string,
  'certificate-authority-data': string,
  'insecure-skip-tls-verify': boolean,
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

/** Ways of a user to authenticate that need a program or a library. */
const UNSUPPORTED = ['exec', 'auth-provider', 'username'];

const name = required(string);
const kubeconfigFields = {
  'current-context': name,
  contexts: listOf(
    openObject({ name, context: required(openObject({ cluster: name, user: string }, '')) }, ''),
  ),
  clusters: listOf(openObject({ name, cluster: required(anyValue()) }, '')),
  users: listOf(openObject({ name, user: mapOf(anyValue()) }, '')),
};

function fromKubeconfig(path: string, override: URL | undefined): KubeAccess {
  const refuse = (what: string, hint?: string): never => fail(path, what, hint);
  const config = readKnown(kubeconfigFields, parse(readFile(path), { prettyErrors: false }), path);
  const current = config['current-context'];
  const { context } =
    config.contexts?.find(entry => entry.name === current) ?? refuse(`no context ${current}`);
  const named =
    config.clusters?.find(entry => entry.name === context.cluster) ?? refuse(`no cluster ${context.cluster}`);
  const cluster = readKnown(clusterFields, named.cluster, `${path}: cluster ${context.cluster}`);
  const given = config.users?.find(entry => entry.name === context.user)?.user ?? {};
  for (const way of UNSUPPORTED)
    if (given[way] !== undefined)
      refuse(`users of kind ${way} are not supported`, 'give a token or a client certificate');
  const user = readKnown(userFields, given, `${path}: user ${context.user}`);

  const beside = (file: string): string => readFile(resolve(dirname(path), file));
  const pem = (data: string | undefined, file: string | undefined): string | undefined =>
    data === undefined ? file && beside(file) : Buffer.from(data, 'base64').toString();
  const { token: fixed, tokenFile } = user;
  const token = tokenFile ? () => beside(tokenFile).trim() : fixed ? () => fixed : undefined;
  const ca = pem(cluster['certificate-authority-data'], cluster['certificate-authority']);
  const cert = pem(user['client-certificate-data'], user['client-certificate']);
  const key = pem(user['client-key-data'], user['client-key']);
  return {
    url: override ?? readUrl(cluster.server, path),
    ...(ca ? { ca } : {}),
    ...(cert ? { cert } : {}),
    ...(key ? { key } : {}),
    ...(cluster['insecure-skip-tls-verify'] ? { insecure: true } : {}),
    ...(token ? { token } : {}),
  };
}

function readUrl(text: string, where: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !/^https?:$/.test(url.protocol))
    throw new RipstopError(
      'ECONFIG',
      `${where}: ${JSON.stringify(withoutCredentials(text))} is not an http or https URL`,
    );
  return url;
}

function readFile(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new RipstopError('ECONFIG', messageOf(error));
  }
}
