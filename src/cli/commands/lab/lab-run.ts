import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { RipstopError } from '../../../base/errors.ts';
import { buildExperiment, type Experiment, type LabMode, labVariables } from '../../../lab/experiment.ts';
import { readLink } from '../../../lab/link.ts';
import { removeStale, takeSignals } from '../../../lab/namespace.ts';
import { objectText } from '../../json/print.ts';
import type { OutputOptions } from '../../options.ts';
import { describeLab } from './lab-view.ts';

export interface LabFlags extends OutputOptions {
  readonly nodes: number;
  readonly pods: number;
  readonly mode: LabMode;
  readonly family: '4' | '6';
  readonly link?: string;
  readonly clean?: true;
}

/** How long COMMAND may take to end after a signal. */
const END_MS = 10_000;

/** `ripstop lab`. @throws RipstopError ECONFIG, EPRIV, ECOMMAND, ENOTSUP */
export async function runLab(words: readonly string[], options: LabFlags): Promise<void> {
  const { mode, nodes, pods, output } = options;
  if (output !== undefined && words.length > 0)
    throw new RipstopError(
      'ECONFIG',
      `-o ${output} prints the lab, and standard output belongs to COMMAND`,
      'leave out one of them; COMMAND has the names in its environment',
    );
  const link = readLinkOption(options.link);
  const stop = takeSignals();
  for (const name of removeStale()) say(`removed ${name}, which an earlier lab had left`);
  const underlay = options.family === '6' ? 6 : 4;
  const main = process.argv[1] ?? '';
  const experiment = await buildExperiment({ nodes, pods, mode, underlay, link, main });
  try {
    if (stop.signal.aborted) {
      process.exitCode = 128 + constants.signals[stop.signal.reason as NodeJS.Signals];
      return;
    }
    const value = { mode, underlay, mtu: experiment.mtu, link: linkValue(link), nodes: experiment.nodes };
    if (output !== undefined) process.stdout.write(await objectText(output, 'ripstop-lab/1', value));
    else say(describeLab(value));
    const isShell = words.length === 0 && process.stdin.isTTY && output === undefined;
    if (words.length > 0) await command(words, experiment, stop.signal);
    else if (isShell) await command([process.env.SHELL ?? '/bin/sh'], experiment, stop.signal);
    else await untilStopped(stop.signal);
  } finally {
    await experiment.remove();
  }
}

/** `ripstop lab --clean`. */
export async function cleanLabs({ output }: LabFlags): Promise<void> {
  if (process.geteuid?.() !== 0)
    throw new RipstopError('EPRIV', 'network namespaces belong to root', 'run it with sudo');
  const removed = removeStale();
  if (output !== undefined)
    process.stdout.write(await objectText(output, 'ripstop-lab-clean/1', { removed }));
  else process.stdout.write(removed.length > 0 ? `removed ${removed.join(' ')}\n` : 'nothing is left\n');
}

/** On standard error: standard output belongs to COMMAND. */
function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

function readLinkOption(text: string | undefined) {
  return text === undefined ? {} : readLink(text);
}

function linkValue({ rate, delay, loss }: ReturnType<typeof readLink>) {
  return {
    bitsPerSecond: rate ?? null,
    delayMicroseconds: delay ?? null,
    lossPercent: loss ?? null,
  };
}

/**
 * Runs a command in this terminal; its exit status becomes that of the process. At Ctrl-C a terminal signals the command itself, so that
 * only what it does not see is passed on. One that does not end then is killed.
 */
async function command(words: readonly string[], experiment: Experiment, stop: AbortSignal): Promise<void> {
  const [program = '', ...args] = words;
  const child = spawn(program, args, {
    stdio: 'inherit',
    env: { ...process.env, ...labVariables(experiment) },
  });
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  let patience: NodeJS.Timeout | undefined;
  const pass = () => {
    if (stop.reason !== 'SIGINT' || !process.stdin.isTTY) child.kill(stop.reason);
    patience = setTimeout(kill, END_MS);
  };
  if (stop.aborted) pass();
  else stop.addEventListener('abort', pass, { once: true });
  try {
    process.exitCode = await new Promise<number>((ended, failed) => {
      child.once('error', error =>
        failed(
          new RipstopError('ECOMMAND', `${program}: ${error.message}`, 'name a program that is installed'),
        ),
      );
      child.once('exit', (code, signal) => ended(code ?? 128 + constants.signals[signal ?? 'SIGKILL']));
    });
  } finally {
    clearTimeout(patience);
    process.off('exit', kill);
  }
}

/** Waits for the signal, with a timer that keeps the process alive. */
async function untilStopped(stop: AbortSignal): Promise<void> {
  if (stop.aborted) return;
  const hold = setInterval(() => {}, 60_000);
  await new Promise(resolve => stop.addEventListener('abort', resolve, { once: true }));
  clearInterval(hold);
}
