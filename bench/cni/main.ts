/*
 * Plays the runtime inside of a node's namespace: wires and unwires a pod again and again through every chain in turn.
 *   node dist/bench/cni/main.js TASK.json      prints one JSON line a pod and chain
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { Chain } from './chains.ts';

export interface CniTask {
  chains: Chain[];
  /** Path of the pod's namespace. */
  netns: string;
  rounds: number;
}

/** Milliseconds of one whole ADD and one whole DEL. */
export interface CniSample {
  chain: string;
  round: number;
  addMs: number;
  delMs: number;
}

const VERSION = '1.0.0';
const RUNTIME = { portMappings: [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }] };

/** Calls one plugin as libcni does and returns its result. */
function call(
  chain: Chain,
  index: number,
  command: 'ADD' | 'DEL',
  container: string,
  prevResult: unknown,
): unknown {
  const { capabilities, ...plugin } = chain.plugins[index] as Chain['plugins'][number] & {
    capabilities?: object;
  };
  const config = {
    cniVersion: VERSION,
    name: chain.id,
    ...plugin,
    ...(capabilities ? { runtimeConfig: RUNTIME } : {}),
    ...(prevResult === undefined ? {} : { prevResult }),
  };
  const { status, stdout, stderr, error } = spawnSync(`${chain.binDir}/${plugin.type}`, [], {
    input: JSON.stringify(config),
    encoding: 'utf8',
    env: {
      PATH: process.env.PATH,
      CNI_COMMAND: command,
      CNI_CONTAINERID: container,
      CNI_NETNS: task.netns,
      CNI_IFNAME: 'eth0',
      CNI_PATH: chain.binDir,
    },
  });
  if (status !== 0)
    throw new Error(`${chain.id}: ${command} of ${plugin.type}: ${error ?? `${stdout}${stderr}`}`);
  return stdout === '' ? undefined : JSON.parse(stdout);
}

function measure(chain: Chain, round: number): CniSample {
  const container = `pod-${chain.id}-${round}`;
  let result: unknown;
  const began = performance.now();
  for (let i = 0; i < chain.plugins.length; i++) result = call(chain, i, 'ADD', container, result);
  const added = performance.now();
  for (let i = chain.plugins.length - 1; i >= 0; i--) call(chain, i, 'DEL', container, result);
  return { chain: chain.id, round, addMs: added - began, delMs: performance.now() - added };
}

const task = JSON.parse(readFileSync(process.argv[2]!, 'utf8')) as CniTask;
// The first round makes bridges, tables and caches; it is not counted.
for (const chain of task.chains) measure(chain, -1);
for (let round = 0; round < task.rounds; round++) {
  for (let turn = 0; turn < task.chains.length; turn++) {
    const sample = measure(task.chains[(turn + round) % task.chains.length]!, round);
    process.stdout.write(`${JSON.stringify(sample)}\n`);
  }
}
