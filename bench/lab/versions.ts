import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, release } from 'node:os';
import { attempt } from './command.ts';
import { CHECKOUT } from './tool.ts';

export interface Versions {
  ripstop: string;
  /** Short commit id, with `+` when files differ from it; undefined outside a git checkout. */
  commit: string | undefined;
  node: string;
  kernel: string;
  iperf3: string | undefined;
}

export interface Machine {
  processor: string;
  cores: number;
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
