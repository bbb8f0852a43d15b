import type { Command } from 'commander';
import { JSON_OUTPUT } from '../../options.ts';

/** `ripstop explain`: the text of a name that another command, a metric, an alert or an error has shown. */
export function addExplain(program: Command): void {
  program
    .command('explain')
    .summary('explain a verdict, finding, alert or error code')
    .description(
      'Prints what a verdict, a finding of `ripstop doctor`, an alert or an error code means, why it happens, how to ' +
        'see it, and what to do. Without a name, lists all names. No agent is needed.',
    )
    .argument('[name]', 'no-peer, port-filtered, RipstopDrops, EINUSE, cni-7, …')
    .addOption(JSON_OUTPUT)
    .action(async (name: string | undefined, options: { json?: true }) => {
      const { runExplain } = await import('./explain-run.ts');
      runExplain(name, options.json === true, (text, width) => program.createHelp().boxWrap(text, width));
    });
}
