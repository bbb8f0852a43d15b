import type { Command } from 'commander';
import { addOutput, type OutputOptions } from '../../options.ts';

/** `ripstop explain`: the text of a name that another command, a metric, an alert or an error has shown. */
export function addExplain(program: Command): void {
  const command = program
    .command('explain')
    .summary('explain a verdict, finding, alert or error code')
    .description(
      'Prints what a verdict, a finding of `ripstop doctor`, an alert or an error code means, why it happens, how to ' +
        'see it, and what to do. Without a name, lists all names. No agent is needed.',
    )
    .argument('[name]', 'no-peer, port-filtered, RipstopDrops, EINUSE, cni-7, …')
    .action(async (name: string | undefined, { output }: OutputOptions) => {
      const { runExplain } = await import('./explain-run.ts');
      await runExplain(name, output, (text, width) => program.createHelp().boxWrap(text, width));
    });
  addOutput(command);
}
