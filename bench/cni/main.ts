/*
 * Plays the runtime inside of a node's namespace: wires the pods that stay, then wires and unwires one more again and
 * again through every chain in turn.
 *   node dist/bench/cni/main.js TASK.json      prints one JSON line per pod and chain
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { Chain } from './chains.ts';

export interface CniTask {
  chains: Chain[];
  /** Path of the namespace of the pod that comes and goes. */
  netns: string;
  rounds: number;
  /** Paths of the namespaces of pods that stay, wired by the first chain. */
  crowd: string[];
}

/** Milliseconds of one whole ADD and one whole DEL. */
export interface CniSample {
  chain: string;
  round: number;
  addMs: number;
  delMs: number;
}

const VERSION = '1.0.0';

interface Pod {
  container: string;
  netns: string;
  hostPort: number;
}

/** Calls one plugin as libcni does and returns its result. */
function call(chain: Chain, index: number, command: 'ADD' | 'DEL', pod: Pod, prevResult: unknown): unknown {
  const { capabilities, ...plugin } = chain.plugins[index] as Chain['plugins'][number] & {
    capabilities?: object;
  };
  const config = {
    cniVersion: VERSION,
    name: chain.id,
    ...plugin,
    ...(capabilities
      ? { runtimeConfig: { portMappings: [{ hostPort: pod.hostPort, containerPort: 80, protocol: 'tcp' }] } }
      : {}),
    ...(prevResult === undefined ? {} : { prevResult }),
  };
  const { status, stdout, stderr, error } = spawnSync(`${chain.binDir}/${plugin.type}`, [], {
    input: JSON.stringify(config),
    encoding: 'utf8',
    env: {
      PATH: process.env.PATH,
      CNI_COMMAND: command,
      CNI_CONTAINERID: pod.container,
      CNI_NETNS: pod.netns,
      CNI_IFNAME: 'eth0',
      CNI_PATH: chain.binDir,
    },
  });
  if (status !== 0)
    throw new Error(`${chain.id}: ${command} of ${plugin.type}: ${error ?? `${stdout}${stderr}`}`);
  return stdout === '' ? undefined : JSON.parse(stdout);
}

function add(chain: Chain, pod: Pod): unknown {
  let result: unknown;
  for (let i = 0; i < chain.plugins.length; i++) result = call(chain, i, 'ADD', pod, result);
  return result;
}

function measure(chain: Chain, round: number): CniSample {
  const pod = { container: `pod-${chain.id}-${round}`, netns: task.netns, hostPort: 8080 };
  const began = performance.now();
  const result = add(chain, pod);
  const added = performance.now();
  for (let i = chain.plugins.length - 1; i >= 0; i--) call(chain, i, 'DEL', pod, result);
  return { chain: chain.id, round, addMs: added - began, delMs: performance.now() - added };
}

const task = JSON.parse(readFileSync(process.argv[2]!, 'utf8')) as CniTask;
task.crowd.forEach((netns, i) => {
  add(task.chains[0]!, { container: `stays-${i}`, netns, hostPort: 20_000 + i });
});
// The first round makes bridges, tables and caches; it is not counted.
for (const chain of task.chains) measure(chain, -1);
for (let round = 0; round < task.rounds; round++) {
  for (let turn = 0; turn < task.chains.length; turn++) {
    const sample = measure(task.chains[(turn + round) % task.chains.length]!, round);
    process.stdout.write(`${JSON.stringify(sample)}\n`);
  }
}
