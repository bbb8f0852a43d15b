import { Command } from 'commander';
import { addCompletion } from './commands/completion/completion.ts';
import { addLab } from './commands/lab/lab.ts';
import { addBench } from './commands/measure/bench.ts';
import { addBlast } from './commands/measure/blast.ts';
import { addSink } from './commands/measure/sink.ts';
import { addAgent } from './commands/node/agent.ts';
import { addCleanup } from './commands/node/cleanup.ts';
import { addCni } from './commands/node/cni.ts';
import { addRun } from './commands/node/run.ts';
import { addCapture } from './commands/packets/capture.ts';
import { addFlows } from './commands/packets/flows.ts';
import { addReplay } from './commands/packets/replay.ts';
import { addTop } from './commands/packets/top.ts';
import { addTrace } from './commands/packets/trace.ts';
import { addRecorder } from './commands/recorder/recorder.ts';
import { addReport } from './commands/report/report.ts';
import { addDoctor } from './commands/show/doctor.ts';
import { addExplain } from './commands/show/explain.ts';
import { addLogLevel } from './commands/show/log-level.ts';
import { addPlan } from './commands/show/plan.ts';
import { addQueries } from './commands/show/query.ts';
import { addUi } from './commands/show/ui.ts';
import { addVersion } from './commands/show/version.ts';
import { addLatency } from './commands/timing/latency.ts';
import { addRuntime } from './commands/timing/runtime.ts';
import { addInstance } from './options.ts';

/*
 * The command line. The file of a command exports `add<Name>(program)`, which only declares the options. A second file runs
 * the command and is imported when it runs: the commands need very different modules, and loading all of them would delay
 * `ripstop --help` and every small command.
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
  addRuntime,
  addLatency,
  addCapture,
  addRecorder,
  addReplay,
  addBlast,
  addSink,
  addBench,
  addDoctor,
  addReport,
  addExplain,
  addLogLevel,
  addLab,
  addVersion,
  addCni,
  addCleanup,
  addCompletion,
];

export function createProgram(version: string): Command {
  const program = new Command('ripstop')
    .description('A userspace overlay network for pods that replaces flannel and explains every packet.')
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand('help [command]', 'print the help of a command')
    .configureHelp({ helpWidth: 80, showGlobalOptions: false })
    .showSuggestionAfterError()
    .exitOverride();
  for (const add of COMMANDS) add(program);
  addInstance(program);
  return program;
}
