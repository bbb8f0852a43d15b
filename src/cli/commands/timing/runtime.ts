import type { Command } from 'commander';
import { addOutput, integerOption, SOCKET } from '../../options.ts';
import type { RuntimeFlags } from './runtime-run.ts';

const EXAMPLE = `
Example:
  ripstop runtime --seconds 5

NS/FRAME is the time of a stage by frame, TIME its share of the interval. CALLS
are system calls that send or write. A GSO packet is one frame.
`;

/** `ripstop runtime`: what the workers spend their time on. */
export function addRuntime(program: Command): void {
  const command = program
    .command('runtime')
    .summary('show what the workers spend their time on, by stage')
    .description(
      'Shows by worker and stage: frames and system calls per batch, nanoseconds per frame, and the share of the time, ' +
        'asleep included. The stages are timed only while the command runs.',
    )
    .option('--seconds <seconds>', 'length of the measurement', integerOption(1, 60), 2)
    .addOption(SOCKET)
    .addHelpText('after', EXAMPLE)
    .action(async (options: RuntimeFlags) => {
      const { showRuntime } = await import('./runtime-run.ts');
      await showRuntime(options);
    });
  addOutput(command);
}
