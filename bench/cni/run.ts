import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { describeError } from '../../src/base/errors.ts';
import { installCni } from '../../src/cni/install.ts';
import { Namespace, scratch } from '../../src/lab/namespace.ts';
import { PATIENCE_MS, until } from '../../src/lab/until.ts';
import type { Progress } from '../demo/progress.ts';
import { CHECKOUT } from '../lab/tool.ts';
import type { Missing, Sample } from '../report/samples.ts';
import { type Chain, chains, type Folders } from './chains.ts';
import type { CniSample, CniTask } from './main.ts';

const REFERENCE = '/usr/lib/cni';
/** What an ADD and a DEL of all chains take together, seconds. */
const ROUND_SECONDS = 1;
/** What it takes to wire a pod that stays, by all chains together, seconds. */
const CROWD_SECONDS = 0.2;
/** Pods on the node in the second measurement. */
const CROWD = 500;
const CROWD_ROUNDS = 20;
const SMALL_CROWD = 20;

/** A short run has a small crowd. */
const crowdOf = (rounds: number) => (rounds < CROWD_ROUNDS ? SMALL_CROWD : CROWD);

export const cniSeconds = (rounds: number) =>
  3 + (rounds + Math.min(rounds, CROWD_ROUNDS)) * ROUND_SECONDS + crowdOf(rounds) * CROWD_SECONDS;

/** Wiring a pod: whole ADD and DEL of each chain, on a node without other pods and on one with many. */
export async function runCni(
  rounds: number,
  progress: Progress,
): Promise<{ samples: Sample[]; missing: Missing[]; labels: Record<string, string> }> {
  progress.step('cni: ADD and DEL of a pod', cniSeconds(rounds));
  const folder = `${scratch()}/cni`;
  mkdirSync(folder, { recursive: true });
  const folders: Folders = {
    go: REFERENCE,
    served: `${folder}/served`,
    alone: `${folder}/alone`,
    scratch: folder,
  };
  installCni({ binDir: folders.served, socket: socketIn(folder), callsDir: `${socketIn(folder)}-calls` });
  installCni({ binDir: folders.alone, socket: `${folder}/nobody.sock`, standalone: true });
  const all = chains(folders, subnetEnv(folder));
  const present = all.filter(chain => existsSync(`${chain.binDir}/${chain.plugins[0]!.type}`));
  const missing = all
    .filter(chain => !present.includes(chain))
    .map(({ id, binDir }) =>
      absent(id, '', `no plugins in ${binDir} (apt-get install containernetworking-plugins)`),
    );
  const samples: Sample[] = [];
  const attempt = async (condition: string, taken: Chain[], count: number, crowd: Namespace[]) => {
    try {
      samples.push(...(await take(folder, condition, { chains: taken, rounds: count }, crowd)));
    } catch (error) {
      missing.push(absent(taken[0]!.id, condition, describeError(error)));
    }
  };
  await attempt('', present, rounds, []);
  const crowd = Array.from({ length: crowdOf(rounds) }, () => Namespace.create());
  try {
    for (const chain of present.filter(({ binDir }) => binDir !== folders.alone)) {
      await attempt(`${crowd.length} pods`, [chain], Math.min(rounds, CROWD_ROUNDS), crowd);
    }
  } finally {
    for (const pod of crowd) pod.remove();
  }
  return { samples, missing, labels: Object.fromEntries(all.map(({ id, label }) => [`cni-${id}`, label])) };
}

const socketIn = (folder: string) => `${folder}/agent.sock`;

const absent = (chain: string, condition: string, reason: string): Missing => ({
  suite: 'cni',
  contender: `cni-${chain}`,
  condition,
  figure: '',
  reason,
});

/** Measures on a node of its own, whose agent works on the calls. */
async function take(
  folder: string,
  condition: string,
  { chains, rounds }: Pick<CniTask, 'chains' | 'rounds'>,
  crowd: Namespace[],
): Promise<Sample[]> {
  const node = Namespace.create();
  const pod = Namespace.create();
  try {
    node.sysctl('net.ipv4.ip_forward=1');
    const agent = node.launch([process.execPath, `${CHECKOUT}dist/bench/cni/agent.js`, socketIn(folder)]);
    await agent.saying(/serving/);
    const task: CniTask = { chains, rounds, netns: pod.path, crowd: crowd.map(({ path }) => path) };
    writeFileSync(`${folder}/task.json`, JSON.stringify(task));
    const run = node.launch([process.execPath, `${CHECKOUT}dist/bench/cni/main.js`, `${folder}/task.json`]);
    const lines = (await run.success(PATIENCE_MS + rounds * 10_000)).trim().split('\n');
    await agent.stop();
    return lines.flatMap(line => {
      const { chain, round, addMs, delMs } = JSON.parse(line) as CniSample;
      const common = { suite: 'cni', contender: `cni-${chain}`, condition, round };
      return [
        { ...common, figure: 'cniAdd', value: addMs },
        { ...common, figure: 'cniDel', value: delMs },
      ];
    });
  } finally {
    node.remove();
    pod.remove();
    // The pods' ends go with the node's, a little later.
    const last = crowd.at(-1);
    if (last) await until('the pods are empty', () => !last.ip('link show').includes('eth0'));
  }
}

/** The file from which the plugins read the subnet of this node. */
function subnetEnv(folder: string): string {
  const file = `${folder}/subnet.env`;
  const lines = [
    'FLANNEL_NETWORK=10.84.0.0/16',
    'FLANNEL_SUBNET=10.84.8.1/21',
    'FLANNEL_MTU=1450',
    'FLANNEL_IPMASQ=true',
  ];
  writeFileSync(file, `${lines.join('\n')}\n`);
  return file;
}
