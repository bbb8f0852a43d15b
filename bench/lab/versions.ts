import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, release } from 'node:os';
import { attempt, must } from '../../src/lab/command.ts';
import { CHECKOUT, tool } from './tool.ts';

export interface Versions {
  ripstop: string;
  /** Short commit id, with `+` when files differ from it; undefined outside a git checkout. */
  commit: string | undefined;
  node: string;
  kernel: string;
  iperf3: string | undefined;
}

/** What the machine charges, medians, ns: `bench/tools/machine.c`. */
export interface Charges {
  systemCall: number;
  wakeNear: number;
  /** Null with one core. */
  wakeFar: number | null;
  /** Of 64 KiB. */
  copy: number;
}

export interface Machine {
  processor: string;
  cores: number;
  charges?: Charges;
}

export function versions(): Versions {
  const { version } = JSON.parse(readFileSync(`${CHECKOUT}package.json`, 'utf8')) as { version: string };
  const git = attempt([
    'sh',
    '-c',
    'git -C "$0" rev-parse --short HEAD && git -C "$0" status --porcelain -uno',
    CHECKOUT,
  ]);
  const [commit, ...changed] = git.stdout.split('\n').filter(Boolean);
  return {
    ripstop: version,
    commit: git.code === 0 && commit ? `${commit}${changed.length > 0 ? '+' : ''}` : undefined,
    node: process.version,
    kernel: release(),
    iperf3: /iperf (\S+)/.exec(attempt(['sh', '-c', 'iperf3 --version']).stdout)?.[1],
  };
}

export function machine(): Machine {
  return { processor: cpus()[0]?.model.trim() ?? 'unknown', cores: availableParallelism() };
}

/** Takes a second or two. */
export function measureCharges(): Charges {
  const said = JSON.parse(must([tool('machine')])) as Record<string, number | null>;
  const of = (name: string) => said[name] ?? 0;
  return {
    systemCall: of('system_call'),
    wakeNear: of('wake_near'),
    wakeFar: said.wake_far ?? null,
    copy: of('copy'),
  };
}
