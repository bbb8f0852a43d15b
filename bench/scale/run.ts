import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { describeError } from '../../src/base/errors.ts';
import { buildLab } from '../../src/lab/topology.ts';
import { until } from '../../src/lab/until.ts';
import { AS_AGENTS_DO, deployRipstop, type RipstopProcess } from '../contenders/ripstop.ts';
import type { Progress } from '../demo/progress.ts';
import type { FigureId, Missing, Sample } from '../report/samples.ts';
import { type Burst, measureBurst } from './burst.ts';
import { measureTakeover } from './takeover.ts';

/** Of one node, with itself not counted. */
const PEERS = [1, 1000];
const RELOAD_MS = 30_000;
/** After a reload, until late work is done and busy polling has ended. */
const SETTLE_MS = 2000;
/** Nodes of the Kubernetes store that come and go while an agent runs. */
export const BURSTS: readonly Burst[] = [
  { nodes: 2000, seconds: 5, dual: false, restS: 12 },
  { nodes: 5000, seconds: 15, dual: true, restS: 12 },
];
export const QUICK_BURSTS: readonly Burst[] = [{ nodes: 300, seconds: 1, dual: false, restS: 3 }];

const burstSeconds = ({ seconds, restS }: Burst): number => 10 + 2 * seconds + 3 * restS;

export interface ScaleLength {
  bursts: readonly Burst[];
  /** How long a node with nothing to do is watched, s. */
  idle: number;
  /** Moves from flannel's device. */
  takeovers: number;
}

/** Estimate, s. */
export const scaleSeconds = ({ bursts, idle, takeovers }: ScaleLength): number =>
  10 +
  PEERS.length * (SETTLE_MS / 1000 + idle) +
  takeovers * 3 +
  bursts.reduce((sum, burst) => sum + burstSeconds(burst), 0);

/** The cost of many peers: an agent with an API server that creates them, and `ripstop run`, which reads them at SIGHUP. */
export async function runScale(
  progress: Progress,
  { bursts, idle, takeovers: moves }: ScaleLength,
): Promise<{ samples: Sample[]; missing: Missing[] }> {
  const peers = await runReload(progress, idle);
  const takeovers = await runTakeovers(progress, moves);
  const measured = await runBursts(progress, bursts);
  return {
    samples: [...peers.samples, ...takeovers.samples, ...measured.samples],
    missing: [...peers.missing, ...takeovers.missing, ...measured.missing],
  };
}

/** A node that moves from flannel. */
async function runTakeovers(
  progress: Progress,
  moves: number,
): Promise<{ samples: Sample[]; missing: Missing[] }> {
  progress.step('scale: a move from flannel', moves * 3);
  const place = { suite: 'scale', contender: 'a move', condition: "from flannel's device" };
  try {
    const lost = await measureTakeover(moves);
    const samples = lost.map((value, round) => ({ ...place, figure: 'takeoverLost', round, value }));
    return { samples, missing: [] };
  } catch (error) {
    return { samples: [], missing: [{ ...place, figure: '', reason: describeError(error) }] };
  }
}

async function runBursts(
  progress: Progress,
  bursts: readonly Burst[],
): Promise<{ samples: Sample[]; missing: Missing[] }> {
  const samples: Sample[] = [];
  const missing: Missing[] = [];
  for (const burst of bursts) {
    const condition = `${burst.nodes}${burst.dual ? ' dual-stack' : ''} nodes in ${burst.seconds} s`;
    progress.step(`scale: ${condition}`, burstSeconds(burst));
    const place = { suite: 'scale', contender: 'an agent', condition };
    try {
      for (const [figure, value] of Object.entries(await measureBurst(burst)))
        samples.push({ ...place, figure, round: 0, value });
    } catch (error) {
      missing.push({ ...place, figure: '', reason: describeError(error) });
    }
  }
  return { samples, missing };
}

async function runReload(
  progress: Progress,
  idle: number,
): Promise<{ samples: Sample[]; missing: Missing[] }> {
  progress.step('scale: a thousand peers', 6 + PEERS.length * (SETTLE_MS / 1000 + idle));
  const samples: Sample[] = [];
  const take = (peers: number, figure: FigureId, value: number) => {
    const condition = `${peers} peer${peers === 1 ? '' : 's'}`;
    samples.push({ suite: 'scale', contender: 'a node', condition, figure, round: 0, value });
  };
  const lab = buildLab();
  try {
    const { processes, stop } = await deployRipstop(lab, { underlay: 4 }, { ...AS_AGENTS_DO, probes: true });
    try {
      for (const peers of PEERS) {
        const reloadMs = await reload(processes[0]!, peers);
        take(peers, 'reloadMs', reloadMs);
        await sleep(SETTLE_MS);
        take(peers, 'idlePercent', await idlePercent(processes[0]!.pid, idle));
        take(peers, 'residentMb', residentMb(processes[0]!.pid));
      }
    } finally {
      await stop();
    }
    return { samples, missing: [] };
  } catch (error) {
    const missing = {
      suite: 'scale',
      contender: 'a node',
      condition: '',
      figure: '',
      reason: describeError(error),
    };
    return { samples, missing: [missing] };
  } finally {
    lab.remove();
  }
}

/** Gives the node so many peers, the one that is there among them. @returns milliseconds until it has taken them */
async function reload({ pid, config, log }: RipstopProcess, count: number): Promise<number> {
  const settings = JSON.parse(readFileSync(config, 'utf8')) as { peers: object[] };
  const nowhere = Array.from({ length: count - 1 }, (_, i) => ({
    name: `nowhere${i}`,
    address: `172.31.${4 + (i >> 8)}.${i & 255}`,
    subnets: [`10.${96 + (i >> 8)}.${i & 255}.0/24`, `fd00:10:96:${(i + 1).toString(16)}::/64`],
  }));
  writeFileSync(config, JSON.stringify({ ...settings, peers: [settings.peers[0], ...nowhere] }));
  const already = readFileSync(log, 'utf8').length;
  const began = performance.now();
  process.kill(pid, 'SIGHUP');
  const said = () => readFileSync(log, 'utf8').slice(already);
  await until(
    `${log} to say that ${count} peers are read`,
    () => /configuration read again|keeping the current/.test(said()),
    RELOAD_MS,
    5,
  );
  if (/keeping the current/.test(said())) throw new Error(`the peers were refused: ${said()}`);
  return performance.now() - began;
}

/** Share of a core that a process takes, all its threads together, %. Nanoseconds of the scheduler: ticks would be too coarse. */
async function idlePercent(pid: number, seconds: number): Promise<number> {
  const runNs = () =>
    readdirSync(`/proc/${pid}/task`).reduce(
      (sum, thread) =>
        sum + Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]),
      0,
    );
  const [before, began] = [runNs(), performance.now()];
  await sleep(seconds * 1000);
  return ((runNs() - before) / 1e6 / (performance.now() - began)) * 100;
}

const residentMb = (pid: number) =>
  Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) / 1024;
