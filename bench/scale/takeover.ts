import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Proc } from '../../src/lab/proc.ts';
import { buildLab, type Lab, type Node } from '../../src/lab/topology.ts';
import { until } from '../../src/lab/until.ts';
import { kernelVxlan } from '../contenders/kernel-vxlan.ts';
import { CHECKOUT } from '../lab/tool.ts';

/** Interval of the pings, s. */
const EVERY = 0.01;
const WAIT_MS = 60_000;

/** Pings that are lost while an agent replaces the kernel's VXLAN device that flannel's backend leaves, one count per round. */
export async function measureTakeover(rounds: number): Promise<number[]> {
  const lab = buildLab();
  const root = mkdtempSync(join(tmpdir(), 'rs-takeover-'));
  try {
    const lost: number[] = [];
    for (let round = 0; round < rounds; round++) lost.push(await takeOver(lab, join(root, `${round}`)));
    return lost;
  } finally {
    lab.remove();
    rmSync(root, { recursive: true, force: true });
  }
}

async function takeOver(lab: Lab, root: string): Promise<number> {
  const flannel = await kernelVxlan().deploy(lab, { underlay: 4 });
  const procs: Proc[] = [];
  try {
    const [one, two] = lab.nodes as [Node, Node];
    mkdirSync(join(root, 'subnets'), { recursive: true });
    writeFileSync(
      join(root, 'config.json'),
      JSON.stringify({ Network: '10.244.0.0/16', Backend: { Type: 'vxlan' } }),
    );
    for (const node of lab.nodes)
      writeFileSync(join(root, 'subnets', node.subnet[4].replace('/', '-')), JSON.stringify(leaseOf(node)));
    const [from, to] = [two.pods[0]!, one.pods[0]!];
    const ping = from.ns.launch(['ping', `-i${EVERY}`, '-W1', to.address[4]]);
    procs.push(ping);
    const answers = () => ping.stdout.split(' ttl=').length - 1;
    const flows = async () => {
      const goal = answers() + 20;
      await until('pings to be answered', () => answers() >= goal, WAIT_MS);
    };
    await flows();
    const log = join(root, 'log');
    procs.push(one.ns.launch(agentOf(root), { log }));
    await until(
      'the agent to be ready',
      () => /ready: packets can flow/.test(readFileSync(log, 'utf8')),
      WAIT_MS,
    );
    await flows();
    await ping.stop('SIGINT');
    const seen = [...ping.stdout.matchAll(/icmp_seq=(\d+) ttl/g)].map(match => Number(match[1]));
    return Math.max(...seen) - new Set(seen).size;
  } finally {
    for (const proc of procs) await proc.stop().catch(() => {});
    await flannel.stop();
  }
}

function leaseOf({ ns, underlay }: Node): object {
  const mac = ns.must(['cat', '/sys/class/net/flannel.1/address']).trim();
  return { PublicIP: underlay[4], BackendType: 'vxlan', BackendData: { VNI: 1, VtepMAC: mac } };
}

const agentOf = (root: string): string[] => [
  process.execPath,
  `${CHECKOUT}dist/src/cli/main.js`,
  'agent',
  `--store-path=${root}`,
  '--node-name=node1',
  '--iface=eth0',
  `--state-dir=${join(root, 'state')}`,
  `--subnet-file=${join(root, 'subnet.env')}`,
];
