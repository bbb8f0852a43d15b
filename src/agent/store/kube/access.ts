import { withoutCredentials } from '../../../base/credentials.ts';
import { RipstopError } from '../../../base/errors.ts';
import { checkCredentials, type ReadCredentials } from './credentials.ts';
import { readFile, readKubeconfig } from './kubeconfig.ts';

/** Address of the API server and the credentials for it. */
export interface KubeAccess {
  readonly url: URL;
  /** Accept compressed lists; absent: true. */
  readonly compress?: boolean;
  /** Absent: no credentials, and the certificate authorities of Node. */
  readonly credentials?: ReadCredentials;
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
  if (kubeconfig) {
    const { server, compress, credentials } = readKubeconfig(kubeconfig);
    checkCredentials(credentials, kubeconfig);
    return {
      url: url ?? readUrl(server, kubeconfig),
      compress,
      credentials: () => readKubeconfig(kubeconfig).credentials,
    };
  }
  if (url) return { url };
  const host = env.KUBERNETES_SERVICE_HOST;
  const port = env.KUBERNETES_SERVICE_PORT ?? '443';
  if (!host)
    throw new RipstopError(
      'ECONFIG',
      'the API server is not known',
      'run in a pod, or give --kubeconfig-file or --kube-api-url',
    );
  const credentials: ReadCredentials = () => ({
    ca: readFile(`${accountPath}/ca.crt`),
    token: readFile(`${accountPath}/token`).trim(),
  });
  checkCredentials(credentials(), accountPath);
  return {
    url: readUrl(`https://${host.includes(':') ? `[${host}]` : host}:${port}`, 'KUBERNETES_SERVICE_HOST'),
    credentials,
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
