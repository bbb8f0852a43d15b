import { join } from 'node:path';
import { Argument, type Command } from 'commander';
import { pathsOf } from '../../../agent/inputs/paths.ts';
import { SOCKET_NAME } from '../../../api/client.ts';
import { SCRIPTS, SHELLS, type Shell } from './scripts.ts';

/** `ripstop completion`, and `ripstop complete`, which its scripts call. */
export function addCompletion(program: Command): void {
  program
    .command('completion')
    .summary('print a completion script for a shell')
    .description(
      'Prints a script with which the shell completes commands, options and values of `ripstop`, also the names of peers, ' +
        'devices and pods of the running agent. For the present shell: source <(ripstop completion bash).',
    )
    .addArgument(new Argument('<shell>', 'the shell').choices(SHELLS))
    .action((shell: Shell) => void process.stdout.write(SCRIPTS[shell]));
  program
    .command('complete', { hidden: true })
    .description('Prints what completes a command line, one candidate per line with a tab and its meaning.')
    .argument('[words...]', 'the words behind `ripstop`; the last one is completed')
    .action(async (words: string[]) => {
      const { candidatesFor } = await import('./candidates.ts');
      const { valuesOf } = await import('./values.ts');
      const found = await candidatesFor(program, words, (name, socket = defaultSocket()) =>
        valuesOf(name, socket),
      );
      process.stdout.write(
        found.map(({ value, about }) => `${value}\t${about.replace(/\s+/g, ' ')}\n`).join(''),
      );
    });
}

/** That of the instance in the environment, as the commands choose it. */
const defaultSocket = (): string => join(pathsOf(process.env.RIPSTOP_INSTANCE ?? '').stateDir, SOCKET_NAME);
