import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { until } from '../../../src/lab/until.ts';
import { agentsFor, fileStoreFor } from '../../fixtures/agents/agents.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

const NODES = 1000;
const hex = (value: number) => value.toString(16).padStart(2, '0');

/** Leases of nodes that are nowhere, as flannel writes them. */
function leases(): [key: string, value: string][] {
  return Array.from({ length: NODES }, (_, i) => {
    const [a, b] = [i >> 8, i & 255];
    return [
      `10.${96 + a}.${b}.0-24`,
      `{"PublicIP":"172.31.${a + 1}.${b}","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"0a:99:00:00:${hex(a)}:${hex(b)}"}}`,
    ];
  });
}

const residentKiB = (pid: number) =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]);

t.test(
  'a thousand nodes arrive at once, and are there at a start',
  { skip: skipUnless('root', 'netns', 'tun', 'nft') },
  async t => {
    const lab = labFor(t);
    const store = fileStoreFor(t, { Network: '10.64.0.0/10' });
    const { agents } = agentsFor(t, lab, [...store.flags, '--ip-masq']);
    const agent = agents[0]!;
    agent.start();
    const alone = await agent.ready(0);
    const before = residentKiB(alone.pid);
    const from = performance.now();
    for (const [key, value] of leases()) writeFileSync(join(store.path, 'subnets', key), value);
    await agent.ready(NODES);
    const arrived = Math.round(performance.now() - from);
    const node = lab.nodes[0]!.ns;
    t.equal(node.must(['ip', 'route', 'show', 'proto', '114']).trim().split('\n').length, NODES);
    t.equal(
      node.must(['ip', 'neigh', 'show', 'nud', 'permanent', 'dev', 'flannel.1']).trim().split('\n').length,
      NODES,
    );
    await until('nothing left to do', async () => (await agent.ask('/pending')).length === 0);
    const status = await agent.ask('/status');
    t.equal(status.failedRepairs, 0);
    const resident = residentKiB(alone.pid);

    await agent.stop('SIGKILL');
    const again = performance.now();
    agent.start();
    const back = await agent.ready(NODES);
    const started = Math.round(performance.now() - again);
    t.ok(residentKiB(back.pid) < 400 * 1024);
    t.comment(
      `${NODES} peers: arrived in ${arrived} ms, start to ready ${started} ms, memory ${before} KiB alone, ${resident} KiB with them, ${residentKiB(back.pid)} KiB after the start`,
    );
  },
);
