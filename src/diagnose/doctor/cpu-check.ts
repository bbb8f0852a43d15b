import { setTimeout as sleep } from 'node:timers/promises';
import type { Agent } from '../../agent/agent.ts';
import { type CpuStat, readCpuStats, readWaitingMs } from './cpu-stat.ts';
import { type Finding, warning } from './finding.ts';

/** Time between the two readings that are compared: ten periods of the usual quota. */
const SAMPLE_MS = 1000;
/** Slow answers per minute that may have any cause, as one pause of the machine. */
const SLOW_MOST = 5;

/** The kernel's statistics of the processor time of this process. */
export interface CpuReadings {
  readonly quotas: readonly CpuStat[];
  readonly waitingMs: number;
}

const read = (): CpuReadings => ({ quotas: readCpuStats(), waitingMs: readWaitingMs() });

/** Workers that do not get the processor: packets wait, and are lost when the queue of the device is full. */
export async function checkCpu(agent: Agent, sampleMs = SAMPLE_MS, take = read): Promise<Finding[]> {
  const before = take();
  await sleep(sampleMs);
  return [
    ...throttling(before, take(), sampleMs),
    ...slowWorkers(agent, take().waitingMs - before.waitingMs, sampleMs),
  ];
}

function throttling(before: CpuReadings, now: CpuReadings, sampleMs: number): Finding[] {
  return now.quotas.flatMap(quota => {
    const earlier = before.quotas.find(({ cgroup }) => cgroup === quota.cgroup);
    const periods = quota.throttled - (earlier?.throttled ?? quota.throttled);
    if (periods <= 0) return [];
    const waited = Math.round(quota.throttledMs - (earlier?.throttledMs ?? 0));
    return warning(
      'cpu-starved',
      `the CPU limit of cgroup ${quota.cgroup} stopped the processes in it ${periods} times within ${Math.round(sampleMs)} ms (${waited} ms of waiting in all): packets wait meanwhile`,
      'raise or remove the CPU limit of the agent (docs/guides/operate/sizing.md)',
    );
  });
}

function slowWorkers({ network }: Agent, waitedMs: number, sampleMs: number): Finding[] {
  return (network?.overlays ?? []).flatMap(overlay => {
    const counters = overlay.counters();
    if (!counters || counters.slowResponses <= SLOW_MOST) return [];
    const longest = Math.round(Math.max(counters.lag.egress.maxMs, counters.lag.ingress.maxMs));
    const waited =
      waitedMs >= 1
        ? `; its threads waited ${Math.round(waitedMs)} ms for a processor within ${Math.round(sampleMs)} ms`
        : '';
    return warning(
      'cpu-starved',
      `${overlay.plan.device}: a worker answered ${counters.slowResponses} of 60 times after more than 50 ms in the last minute, at most after ${longest} ms${waited}`,
      'find what keeps the processors busy (`top -H`), give the agent a CPU request, or move load from the node (docs/guides/operate/sizing.md)',
    );
  });
}
