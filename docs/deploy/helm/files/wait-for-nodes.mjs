/*
 * Waits until a DaemonSet has a ready pod on each node that it wants one on, and prints the nodes that are missing:
 *   node wait-for-nodes.mjs DAEMONSET SECONDS
 * The service account of the pod must read the DaemonSet and list the pods of its namespace. NODE_EXTRA_CA_CERTS names the
 * certificate of the API server, SERVICE_ACCOUNT_DIR another folder of the service account. Exit status 1: some node did
 * not become ready within SECONDS.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const FOLDER = process.env.SERVICE_ACCOUNT_DIR ?? '/var/run/secrets/kubernetes.io/serviceaccount';
const { KUBERNETES_SERVICE_HOST: host = '', KUBERNETES_SERVICE_PORT: port = '443' } = process.env;
const SERVER = `https://${host.includes(':') ? `[${host}]` : host}:${port}`;
const PERIOD = 2000;

const [name, seconds] = process.argv.slice(2);
const read = file => readFileSync(`${FOLDER}/${file}`, 'utf8').trim();
const namespace = read('namespace');

async function get(path) {
  const headers = { authorization: `Bearer ${read('token')}`, accept: 'application/json' };
  const response = await fetch(`${SERVER}${path}`, { headers, signal: AbortSignal.timeout(10_000) });
  if (!response.ok) throw new Error(`GET ${path}: ${response.status} ${await response.text()}`);
  return response.json();
}

/** What is missing, as a sentence; undefined when each node has a ready pod. */
async function missing() {
  const { metadata, spec, status } = await get(`/apis/apps/v1/namespaces/${namespace}/daemonsets/${name}`);
  if ((status?.observedGeneration ?? 0) < metadata.generation) return 'the DaemonSet has no pods yet';
  const wanted = status.desiredNumberScheduled;
  const ready = status.numberReady;
  if (ready >= wanted) return undefined;
  const selector = Object.entries(spec.selector.matchLabels).map(([key, value]) => `${key}=${value}`);
  const query = `labelSelector=${encodeURIComponent(selector.join(','))}`;
  const { items } = await get(`/api/v1/namespaces/${namespace}/pods?${query}`);
  const isReady = pod => pod.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True');
  const nodes = items.filter(pod => !isReady(pod)).map(pod => pod.spec.nodeName ?? 'a node not chosen yet');
  return `${ready} of ${wanted} nodes are ready; not ready: ${nodes.sort().join(', ')}`;
}

const end = Date.now() + Number(seconds) * 1000;
let last;
for (;;) {
  let now;
  try {
    now = await missing();
  } catch (error) {
    now = `${error.message}${error.cause ? `: ${error.cause.message}` : ''}`;
  }
  if (now === undefined) {
    console.log('every node is ready');
    break;
  }
  if (now !== last) console.log(now);
  last = now;
  if (Date.now() >= end) {
    console.error(`not every node became ready within ${seconds} s`);
    process.exitCode = 1;
    break;
  }
  await sleep(PERIOD);
}
