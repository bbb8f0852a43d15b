#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { describeError, RipstopError } from '../base/errors.ts';
import { addAgent } from './commands/node/agent.ts';
import { addCleanup } from './commands/node/cleanup.ts';
import { addCni } from './commands/node/cni.ts';
import { addRun } from './commands/node/run.ts';
import { addCapture } from './commands/packets/capture.ts';
import { addFlows } from './commands/packets/flows.ts';
import { addReplay } from './commands/packets/replay.ts';
import { addTop } from './commands/packets/top.ts';
import { addTrace } from './commands/packets/trace.ts';
import { addDoctor } from './commands/show/doctor.ts';
import { addExplain } from './commands/show/explain.ts';
import { addLogLevel } from './commands/show/log-level.ts';
import { addPlan } from './commands/show/plan.ts';
import { addQueries } from './commands/show/query.ts';
import { addUi } from './commands/show/ui.ts';

/*
 * The command line. The file of a command exports `add<Name>(program)`, which only declares the options. What runs the
 * command stands in a second file, which is imported when the command runs: the commands need very different modules,
 * and loading all of them would delay `ripstop --help` and every small command.
 */

const COMMANDS: readonly ((program: Command) => void)[] = [
  addRun,
  addAgent,
  addQueries,
  addUi,
  addPlan,
  addTrace,
  addFlows,
  addTop,
  addCapture,
  addReplay,
  addDoctor,
  addExplain,
  addLogLevel,
  addCni,
  addCleanup,
];

/** Exit codes: 0 done, 1 failed, 2 called wrongly (options, configuration). */
const FAILED = 1;
const CALLED_WRONGLY = 2;

function version(): string {
  const file = new URL('../../../package.json', import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}

function build(): Command {
  const program = new Command('ripstop')
    .description("A userspace overlay network for pods: flannel's job, every packet explained.")
    .version(version(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand('help [command]', 'print the help of a command')
    .configureHelp({ helpWidth: 80, showGlobalOptions: false })
    .showSuggestionAfterError()
    .exitOverride();
  for (const add of COMMANDS) add(program);
  return program;
}

/** True for commander's own way of ending: help and version were printed, or the call was wrong and said so. */
function endOfParsing(error: unknown): { exitCode: number } | undefined {
  const { code, exitCode } = error as { code?: unknown; exitCode?: unknown };
  return typeof code === 'string' && code.startsWith('commander.') && typeof exitCode === 'number'
    ? { exitCode }
    : undefined;
}

try {
  await build().parseAsync();
} catch (error) {
  const ended = endOfParsing(error);
  if (ended) {
    process.exitCode = ended.exitCode === 0 ? 0 : CALLED_WRONGLY;
  } else {
    const code = error instanceof RipstopError ? ` [${error.code}]` : '';
    process.stderr.write(`ripstop: ${describeError(error)}${code}\n`);
    if (!(error instanceof RipstopError) && error instanceof Error)
      process.stderr.write(`${error.stack ?? ''}\n`);
    // At once: a half-made thing that still holds a handle must not keep a failed command alive.
    process.exit(error instanceof RipstopError && error.code === 'ECONFIG' ? CALLED_WRONGLY : FAILED);
  }
}
