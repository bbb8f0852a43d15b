import type { Command } from 'commander';
import { integerOption } from '../../options.ts';
import { flowOptions } from './flows.ts';
import type { TopOptions } from './top-run.ts';

/** `ripstop top`: the current flows, refreshed periodically. */
export function addTop(program: Command): void {
  flowOptions(
    program
      .command('top')
      .summary('watch the flows inside the running data plane')
      .description(
        'Shows the flows inside the running data plane, the busiest first, and refreshes periodically. Keys: s sorts by ' +
          'the next column, p switches between flows and peers, space pauses, q quits.',
      ),
  )
    .option('-d, --delay <seconds>', 'refresh interval', integerOption(1, 3600), 1)
    .option(
      '-n, --iterations <count>',
      'stop after this number of refreshes (default: no limit on a terminal, otherwise 1)',
      integerOption(1, 1e9),
    )
    .action(async (filter: string[], options: TopOptions) => {
      const { watchFlows } = await import('./top-run.ts');
      await watchFlows(filter.join(' '), options);
    });
}
