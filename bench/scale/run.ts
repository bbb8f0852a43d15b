import { readFileSync, writeFileSync } from 'node:fs';
import { describeError } from '../../src/base/errors.ts';
import { AS_AGENTS_DO, layRipstop, type RipstopProcess } from '../contenders/ripstop.ts';
import type { Progress } from '../demo/progress.ts';
import { buildLab } from '../lab/topology.ts';
import { until } from '../lab/until.ts';
import type { FigureId, Missing, Sample } from '../report/samples.ts';

/** Of one node, with itself not counted. */
const PEERS = [1, 1000];
const RELOAD_MS = 30_000;

export const scaleSeconds = 6;

/** What a node needs for many peers: `ripstop run` is given them by SIGHUP. */
export async function runScale(progress: Progress): Promise<{ samples: Sample[]; missing: Missing[] }> {
  progress.step('scale: a thousand peers', scaleSeconds);
  const samples: Sample[] = [];
  const take = (peers: number, figure: FigureId, value: number) => {
    const condition = `${peers} peer${peers === 1 ? '' : 's'}`;
    samples.push({ suite: 'scale', contender: 'a node', condition, figure, round: 0, value });
  };
  const lab = buildLab();
  try {
    const { processes, stop } = await layRipstop(lab, { underlay: 4 }, AS_AGENTS_DO);
    try {
      for (const peers of PEERS) {
        const reloadMs = await reload(processes[0]!, peers);
        take(peers, 'reloadMs', reloadMs);
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
    () => /peers (?:read again|stay)/.test(said()),
    RELOAD_MS,
    5,
  );
  if (/peers stay/.test(said())) throw new Error(`the peers were refused: ${said()}`);
  return performance.now() - began;
}

const residentMb = (pid: number) =>
  Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) / 1024;
