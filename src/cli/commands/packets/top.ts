import { type Command, Option } from 'commander';
import { RipstopError } from '../../../base/errors.ts';
import { addOutput, integerOption } from '../../options.ts';
import type { CostFlags } from '../timing/cost-run.ts';
import { flowOptions } from './flows.ts';
import type { TopOptions } from './top-run.ts';

const EXAMPLE = `
Example:
  ripstop top --cost pod --delay 5
`;

/** `ripstop top`: the current flows, refreshed periodically. */
export function addTop(program: Command): void {
  const command = flowOptions(
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
    .addOption(
      new Option(
        '--cost <whose>',
        'the time of the workers by flow or by pod of this node instead, divided by packets and bytes (default: none)',
      )
        .choices(['flow', 'pod'] satisfies CostFlags['cost'][])
        .conflicts(['by', 'sort']),
    )
    .addHelpText('after', EXAMPLE)
    .action(async (filter: string[], options: TopOptions & CostFlags) => {
      const { watchCosts } = await import('../timing/cost-run.ts');
      if (options.cost !== undefined) return watchCosts(filter.join(' '), options);
      if (options.output !== undefined)
        throw new RipstopError(
          'ECONFIG',
          `-o ${options.output} without --cost`,
          '`ripstop flows -o json` prints the flows as an object',
        );
      const { watchFlows } = await import('./top-run.ts');
      await watchFlows(filter.join(' '), options);
    });
  addOutput(command, 'refresh with --cost');
}
