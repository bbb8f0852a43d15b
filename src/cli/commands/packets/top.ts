import type { Command } from 'commander';
import { integerOption } from './capture.ts';
import { flowOptions } from './flows.ts';
import type { TopOptions } from './top-run.ts';

/** `ripstop top`: the flows as they are now, over and over. */
export function addTop(program: Command): void {
  flowOptions(
    program
      .command('top')
      .summary('watch the flows inside the running data plane')
      .description(
        'Shows the flows inside the running data plane over and over, the busiest first. Keys: s sorts by the next ' +
          'column, p changes between flows and peers, space stops and goes on, q ends.',
      ),
  )
    .option('-d, --delay <seconds>', 'between two pictures', integerOption(1, 3600), 1)
    .option(
      '-n, --iterations <count>',
      'end after so many pictures (default without a terminal: 1)',
      integerOption(1, 1e9),
    )
    .action(async (filter: string[], options: TopOptions) => {
      const { watchFlows } = await import('./top-run.ts');
      await watchFlows(filter.join(' '), options);
    });
}
