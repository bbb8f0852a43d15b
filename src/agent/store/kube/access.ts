import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { parse } from 'yaml';
import { withoutCredentials } from '../../../base/credentials.ts';
import { messageOf, RipstopError } from '../../../base/errors.ts';

/** Where the API server is and what opens its door. Texts of PEM files, not paths. */
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
      'no API server is known',
      'run in a pod, or give --kubeconfig-file or --kube-api-url',
    );
  const tokenFile = `${accountPath}/token`;
  return {
    url: readUrl(`https://${host.includes(':') ? `[${host}]` : host}:${port}`, 'KUBERNETES_SERVICE_HOST'),
    ca: readFile(`${accountPath}/ca.crt`),
    token: () => readFile(tokenFile).trim(),
  };
}

interface Kubeconfig {
  'current-context'?: string;
  contexts?: { name: string; context: { cluster: string; user: string } }[];
  clusters?: { name: string; cluster: Record<string, unknown> }[];
  users?: { name: string; user: Record<string, unknown> }[];
}

function fromKubeconfig(path: string, override: URL | undefined): KubeAccess {
  const refuse = (what: string, hint?: string): never => {
    throw new RipstopError('ECONFIG', `${path}: ${what}`, hint);
  };
  const config = (parse(readFile(path), { prettyErrors: false }) ?? {}) as Kubeconfig;
  const name = config['current-context'] || refuse('no current-context');
  const context =
    config.contexts?.find(entry => entry.name === name)?.context ?? refuse(`no context ${name}`);
  const cluster =
    config.clusters?.find(entry => entry.name === context.cluster)?.cluster ??
    refuse(`no cluster ${context.cluster}`);
  const user = config.users?.find(entry => entry.name === context.user)?.user ?? {};
  for (const way of ['exec', 'auth-provider', 'username'])
    if (user[way] !== undefined)
      refuse(`users of kind ${way} are not supported`, 'give a token or a client certificate');

  const pem = (source: Record<string, unknown>, key: string): string | undefined => {
    const data = source[`${key}-data`];
    if (typeof data === 'string') return Buffer.from(data, 'base64').toString();
    const file = source[key];
    return typeof file === 'string' ? readFile(resolve(dirname(path), file)) : undefined;
  };
  const server =
    typeof cluster.server === 'string' ? cluster.server : refuse(`cluster ${context.cluster} has no server`);
  const tokenFile = typeof user.tokenFile === 'string' ? resolve(dirname(path), user.tokenFile) : undefined;
  const fixed = typeof user.token === 'string' ? user.token : undefined;
  const token = tokenFile ? () => readFile(tokenFile).trim() : fixed ? () => fixed : undefined;
  const ca = pem(cluster, 'certificate-authority');
  const cert = pem(user, 'client-certificate');
  const key = pem(user, 'client-key');
  return {
    url: override ?? readUrl(server, path),
    ...(ca ? { ca } : {}),
    ...(cert ? { cert } : {}),
    ...(key ? { key } : {}),
    ...(cluster['insecure-skip-tls-verify'] === true ? { insecure: true } : {}),
    ...(token ? { token } : {}),
  };
}

function readUrl(text: string, where: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !/^https?:$/.test(url.protocol))
    throw new RipstopError(
      'ECONFIG',
      `${where}: ${JSON.stringify(withoutCredentials(text))} is no http or https URL`,
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
