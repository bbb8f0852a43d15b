import { join } from 'node:path';
import type { Command } from 'commander';
import type { Flags } from '../../../agent/config/flags.ts';
import type { SideService } from '../../../api/process.ts';

/** Maximum time from the end of the agent to the end of its process, milliseconds. */
const EXIT_MS = 1000;

/** `ripstop agent`: the node agent in the foreground, with flanneld's flags. */
export function addAgent(program: Command): void {
  program
    .command('agent')
    .summary("run the node agent: flanneld's flags, store and files")
    .description('Runs the node agent in the foreground.')
    .allowUnknownOption()
    .allowExcessArguments()
    .helpOption(false)
    .action(run);
}

/** Serves the CNI executables on their socket: this process runs the plugins, as it has all modules loaded. */
const workForCni = (flags: Flags): SideService => ({
  condition: 'cni',
  place: stateDir => join(stateDir, 'cni.sock'),
  open: async (agent, path, log) => {
    const { serveCni } = await import('../../../cni/shim/serve.ts');
    const { processHost } = await import('../../../cni/process.ts');
    const { readiness } = agent;
    const host = {
      ...processHost(),
      log: (line: string) => log.info(line),
      agent: {
        trouble: () => (readiness.isReady ? undefined : readiness.reasons().join('; ')),
        pods: agent.pods,
      },
    };
    return serveCni(path, host, flags.text('cni-calls-dir'));
  },
});

async function run(_options: object, command: Command): Promise<void> {
  // flanneld's flags are Go's (`-x`, `--x=y`, a list by repetition): they are read from the table, not by commander.
  const argv = process.argv.slice(process.argv.indexOf(command.name()) + 1);
  const { AGENT_FLAGS, parseFlags } = await import('../../../agent/config/flags.ts');
  if (argv.some(word => /^--?(h|help)$/.test(word))) {
    const { describeFlags } = await import('./flags-help.ts');
    const usage =
      'Usage: ripstop agent [flags]\n\nEvery flag is also a variable, FLANNELD_… or RIPSTOP_….\n\n';
    process.stdout.write(usage + describeFlags(AGENT_FLAGS));
    return;
  }
  const version = command.parent?.version() ?? '';
  if (argv.some(word => /^--?version(=true)?$/.test(word))) {
    process.stdout.write(`${version}\n`);
    return;
  }
  const { prepareAgent, runAgent } = await import('../../../api/process.ts');
  const flags = parseFlags(argv, process.env);
  const services = flags.boolean('cni') ? [workForCni(flags)] : [];
  await runAgent(await prepareAgent(flags), version, services);
  // A CNI call that hangs must not keep the process running.
  setTimeout(() => process.exit(), EXIT_MS).unref();
}
