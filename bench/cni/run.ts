import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { describeError } from '../../src/base/errors.ts';
import { installCni } from '../../src/cni/install.ts';
import type { Progress } from '../demo/progress.ts';
import { CHECKOUT } from '../lab/gauge.ts';
import { Namespace, scratch } from '../lab/namespace.ts';
import type { Missing, Sample } from '../report/samples.ts';
import { type Chain, chains, type Folders } from './chains.ts';
import type { CniSample, CniTask } from './main.ts';

const REFERENCE = '/usr/lib/cni';
/** What an ADD and a DEL of all chains take together, seconds. */
const ROUND_SECONDS = 1;

export const cniSeconds = (rounds: number) => 3 + rounds * ROUND_SECONDS;

/** Wiring a pod: whole ADD and DEL of each chain, in a namespace that stands for the node. */
export async function runCni(
  rounds: number,
  progress: Progress,
): Promise<{ samples: Sample[]; missing: Missing[]; labels: Record<string, string> }> {
  progress.step('cni: ADD and DEL of a pod', cniSeconds(rounds));
  const node = Namespace.create();
  const pod = Namespace.create();
  try {
    node.sysctl('net.ipv4.ip_forward=1');
    const folder = `${scratch()}/cni`;
    mkdirSync(folder, { recursive: true });
    const folders: Folders = {
      go: REFERENCE,
      served: `${folder}/served`,
      alone: `${folder}/alone`,
      scratch: folder,
    };
    const socket = `${folder}/agent.sock`;
    installCni({ binDir: folders.served, socket });
    installCni({ binDir: folders.alone, socket: `${folder}/nobody.sock` });
    const agent = node.launch([process.execPath, `${CHECKOUT}dist/bench/cni/agent.js`, socket]);
    await agent.saying(/serving/);
    const all = chains(folders, subnetEnv(folder));
    const present = all.filter(chain => existsSync(`${chain.binDir}/${chain.plugins[0]!.type}`));
    const missing = all
      .filter(chain => !present.includes(chain))
      .map(({ id, binDir }) =>
        absent(id, `no plugins in ${binDir} (apt-get install containernetworking-plugins)`),
      );
    const samples: Sample[] = [];
    try {
      samples.push(...(await take(node, pod, present, rounds, folder)));
    } catch (error) {
      missing.push(absent('cni', describeError(error)));
    }
    await agent.stop();
    return { samples, missing, labels: Object.fromEntries(all.map(({ id, label }) => [`cni-${id}`, label])) };
  } finally {
    node.remove();
    pod.remove();
  }
}

const absent = (chain: string, reason: string): Missing => ({
  contender: `cni-${chain}`,
  condition: '',
  figure: '',
  reason,
});

async function take(
  node: Namespace,
  pod: Namespace,
  present: Chain[],
  rounds: number,
  folder: string,
): Promise<Sample[]> {
  const task: CniTask = { chains: present, netns: pod.path, rounds };
  writeFileSync(`${folder}/task.json`, JSON.stringify(task));
  const run = node.launch([process.execPath, `${CHECKOUT}dist/bench/cni/main.js`, `${folder}/task.json`]);
  const lines = (await run.success(120_000 + rounds * 10_000)).trim().split('\n');
  return lines.flatMap(line => {
    const { chain, round, addMs, delMs } = JSON.parse(line) as CniSample;
    const common = { suite: 'cni', contender: `cni-${chain}`, condition: '', round };
    return [
      { ...common, figure: 'cniAdd', value: addMs },
      { ...common, figure: 'cniDel', value: delMs },
    ];
  });
}

/** What the daemon tells the plugins about this node. */
function subnetEnv(folder: string): string {
  const file = `${folder}/subnet.env`;
  const lines = [
    'FLANNEL_NETWORK=10.84.0.0/16',
    'FLANNEL_SUBNET=10.84.1.1/24',
    'FLANNEL_MTU=1450',
    'FLANNEL_IPMASQ=true',
  ];
  writeFileSync(file, `${lines.join('\n')}\n`);
  return file;
}
