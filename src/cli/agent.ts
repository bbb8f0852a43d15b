import type { Command } from 'commander';

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

async function run(_options: object, command: Command): Promise<void> {
  // flanneld's flags are Go's (`-x`, `--x=y`, a list by repetition): they are read from the table, not by commander.
  const argv = process.argv.slice(process.argv.indexOf(command.name()) + 1);
  const { describeFlags, parseFlags } = await import('../agent/config/flags.ts');
  if (argv.some(word => /^--?(h|help)$/.test(word))) {
    process.stdout.write(
      `Usage: ripstop agent [flags]\n\nEvery flag is also a variable, FLANNELD_… or RIPSTOP_….\n\n${describeFlags()}\n`,
    );
    return;
  }
  const { runAgent } = await import('../agent/process.ts');
  await runAgent(parseFlags(argv, process.env), command.parent?.version() ?? '');
}
