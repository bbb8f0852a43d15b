/*
 * An API server with many Nodes, and what happens to them, as a process of its own. Each SIGUSR2 begins the next part; the
 * end of each is told on standard output.
 *
 *   at the start   the agent's own Node is there: `listening PORT`
 *   1st signal     Nodes are created, evenly over the time; one of them is deleted half-way: `deleted`, `created`
 *   2nd signal     all are deleted as fast as they were created: `gone`
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { KubeApi } from '../../test/fixtures/kube/kube-api.ts';

const PREFIX = 'flannel.alpha.coreos.com';
const TICK_MS = 10;
/** Bytes of what a real Node has besides: labels, addresses, images. */
const REST_BYTES = 14_000;

const [, , countText, secondsText, dual] = process.argv;
const count = Number(countText);
const ticks = Math.max(1, Math.round((Number(secondsText) * 1000) / TICK_MS));

const hex = (value: number) => value.toString(16).padStart(2, '0');
const name = (n: number) => `far${n}`;

function create(api: KubeApi, n: number): void {
  const [a, b] = [n >> 8, n & 255];
  const annotations: Record<string, string> = {
    [`${PREFIX}/kube-subnet-manager`]: 'true',
    [`${PREFIX}/backend-type`]: 'vxlan',
    [`${PREFIX}/public-ip`]: `172.${20 + (a >> 7)}.${a & 127}.${b}`,
    [`${PREFIX}/backend-data`]: `{"VNI":1,"VtepMAC":"0a:99:00:00:${hex(a)}:${hex(b)}"}`,
    'bench/rest': 'x'.repeat(REST_BYTES),
  };
  const podCIDRs = [`10.${96 + (a >> 6)}.${(a & 63) * 4 + (b >> 6)}.${(b & 63) * 4}/30`];
  if (dual === 'dual') {
    annotations[`${PREFIX}/public-ipv6`] = `fd31:20::${hex(a)}${hex(b)}`;
    annotations[`${PREFIX}/backend-v6-data`] = `{"VNI":1,"VtepMAC":"0a:98:00:00:${hex(a)}:${hex(b)}"}`;
    podCIDRs.push(`fd00:10:96:${n.toString(16)}::/64`);
  }
  api.addNode(name(n), { podCIDRs }, annotations);
}

const next = () => new Promise<void>(resolve => process.once('SIGUSR2', () => resolve()));

async function evenly(work: (n: number) => void): Promise<void> {
  const began = performance.now();
  let done = 0;
  while (done < count) {
    const due = Math.min(
      count,
      Math.ceil((count * (performance.now() - began + TICK_MS)) / (ticks * TICK_MS)),
    );
    for (; done < due; done++) work(done);
    await sleep(TICK_MS);
  }
}

const api = await KubeApi.start();
const own = dual === 'dual' ? ['10.244.0.0/24', 'fd00:10:244::/64'] : ['10.244.0.0/24'];
api.addNode('node0', { podCIDRs: own });
let wanted = next();
console.log(`listening ${new URL(api.url).port}`);
await wanted;
wanted = next();
await evenly(n => {
  create(api, n);
  if (n !== count >> 1) return;
  api.deleteNode(name(1));
  console.log('deleted');
});
console.log('created');
await wanted;
wanted = next();
await evenly(n => {
  if (n !== 1) api.deleteNode(name(n));
});
console.log('gone');
await wanted;
process.exit(0);
