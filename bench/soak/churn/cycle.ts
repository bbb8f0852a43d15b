import { setTimeout as sleep } from 'node:timers/promises';
import { getJson, openCaptureStream, openFlowLog, requestTrace } from '../../../src/api/client.ts';
import { until } from '../../../src/lab/until.ts';
import { CHECKOUT } from '../../lab/tool.ts';
import { HEALTH_PORT, type SoakNode, WEB_PORT, WEB_TOKEN } from './node.ts';
import { foreign, NETWORK } from './peers.ts';
import type { SoakStore } from './stores.ts';

/** Foreign leases and pods per cycle. */
const LEASES = 20;
const PODS = 2;
const STORE_AWAY_MS = 1500;
const CAPTURE_MS = 500;
type Settings = Readonly<Record<string, boolean | number>>;
/** Settings of the cluster at rest, and those that each cycle changes to and back: each change starts the network again. */
const AT_REST: Settings = { flowTable: false, sourcePorts: 16 };
const CHANGED: Settings = { flowTable: true, sourcePorts: 8 };

/** The network configuration. */
export function configuration(settings = AT_REST): object {
  return {
    Network: NETWORK.v4,
    SubnetLen: 24,
    EnableIPv6: true,
    IPv6Network: NETWORK.v6,
    Backend: { Type: 'vxlan', Ripstop: settings },
  };
}

/** Everything that changes during the operation of a node, once; in the end all is as it was before. */
export async function churn(cycle: number, nodes: readonly SoakNode[], store: SoakStore): Promise<void> {
  await Promise.all([changeLeases(cycle, nodes, store), ...nodes.map(node => usePods(node))]);
  await Promise.all(nodes.map(node => askForEverything(node)));
  await restartStore(nodes, store);
  await reload(nodes, store);
}

/** Leases come, change and go. */
async function changeLeases(cycle: number, nodes: readonly SoakNode[], store: SoakStore): Promise<void> {
  const numbers = Array.from({ length: LEASES }, (_, i) => 1 + cycle * LEASES + i);
  const others = nodes.length - 1;
  await store.put(numbers.map(number => foreign(number)));
  await Promise.all(nodes.map(node => node.ready(others + LEASES)));
  await store.put(numbers.filter(number => number % 2 === 0).map(number => foreign(number, 1)));
  await store.delete(numbers.filter(number => number % 4 === 1).map(number => foreign(number)));
  await Promise.all(nodes.map(node => node.ready(others + LEASES - LEASES / 4)));
  await store.delete(numbers.map(number => foreign(number)).filter((_, i) => numbers[i]! % 4 !== 1));
  await allReady(nodes);
}

async function usePods(node: SoakNode): Promise<void> {
  const pods = await Promise.all(Array.from({ length: PODS }, () => node.addPod()));
  await Promise.all(pods.map(pod => node.removePod(pod)));
}

/** Everything that an agent serves: TCP, and the answers and streams of its socket. */
async function askForEverything(node: SoakNode): Promise<void> {
  const argv = [process.execPath, `${CHECKOUT}dist/bench/soak/churn/visitor.js`];
  const visitor = node.node.ns.launch([...argv, `${HEALTH_PORT}`, `${WEB_PORT}`, WEB_TOKEN, '3']);
  const { socket } = node;
  for (const path of ['/status', '/peers', '/leases', '/drops', '/doctor', '/pending'] as const)
    await getJson(socket, path, { timeoutMs: 60_000 });
  await requestTrace(socket, {
    ...{ source: '10.244.1.2', destination: '10.244.2.2', protocol: 'udp', size: 100 },
    ...{ sourcePort: 1234, destinationPort: 53 },
  });
  await Promise.all([
    readFor(CAPTURE_MS, stop => openCaptureStream(socket, { snapLength: 128 }, stop)),
    readFor(CAPTURE_MS, stop => openFlowLog(socket, stop)),
  ]);
  await visitor.success();
}

async function readFor(
  ms: number,
  open: (stop: AbortSignal) => Promise<AsyncIterable<unknown>>,
): Promise<void> {
  const control = new AbortController();
  const stream = await open(control.signal);
  const timer = setTimeout(() => control.abort(), ms);
  try {
    for await (const _chunk of stream) if (control.signal.aborted) break;
  } finally {
    clearTimeout(timer);
    control.abort();
  }
}

async function restartStore(nodes: readonly SoakNode[], store: SoakStore): Promise<void> {
  await store.down();
  await sleep(STORE_AWAY_MS);
  await store.up();
  for (const { socket } of nodes)
    await until(
      'the store to be reachable',
      async () => (await getJson(socket, '/status')).store.downSince === null,
    );
  await allReady(nodes);
}

async function reload(nodes: readonly SoakNode[], store: SoakStore): Promise<void> {
  for (const settings of [AT_REST, CHANGED, AT_REST]) {
    await store.configure(configuration(settings));
    for (const node of nodes) node.signal('SIGHUP');
    for (const { socket } of nodes)
      await until('the settings to be in force', async () => {
        const { settings: present } = await getJson(socket, '/status');
        return Object.entries(settings).every(([name, wanted]) =>
          present.some(({ name: own, value }) => own === name && value === wanted),
        );
      });
    await allReady(nodes);
  }
}

/** Every node has all the others as peers, and no foreign one. */
async function allReady(nodes: readonly SoakNode[]): Promise<void> {
  await Promise.all(nodes.map(node => node.ready(nodes.length - 1)));
}
