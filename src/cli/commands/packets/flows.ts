import { type Command, Option } from 'commander';
import { FLOW_ORDERS } from '../../../capture/flows/flow-order.ts';
import { addOutput, integerOption, SOCKET } from '../../options.ts';
import type { FlowsOptions } from './flows-run.ts';

/** The common options of `flows` and `top`. */
export function flowOptions(command: Command): Command {
  return command
    .argument('[filter...]', 'flows to show, e.g. tcp port 80 and host default/web-1')
    .addOption(
      new Option('--by <what>', 'one row per flow or per peer').choices(['flow', 'peer']).default('flow'),
    )
    .addOption(new Option('--sort <by>', 'sort key, largest first').choices(FLOW_ORDERS).default('rate'))
    .addOption(SOCKET);
}

/** `ripstop flows`: the flows inside the running data plane, once or as a log. */
export function addFlows(program: Command): void {
  const command = flowOptions(
    program
      .command('flows')
      .summary('list the flows inside the running data plane')
      .description(
        'Lists the flows inside the running data plane by 5-tuple or by peer: rate, bytes, drops, TCP ' +
          'retransmissions and RTT. The command enables flow counting, which stays on for 15 seconds. In the ' +
          'table, > means to the peer and < from the peer.',
      ),
  )
    .option('-n, --rows <rows>', 'maximum number of rows; 0: all', integerOption(0, 1e6), 20)
    .option('--seconds <seconds>', 'minimum counting time before the output', integerOption(1, 3600), 2)
    .addOption(
      new Option(
        '--log',
        'print one JSON line per flow when it ends and every minute, until Ctrl-C',
      ).conflicts(['by', 'sort', 'rows', 'seconds', 'json', 'output']),
    )
    .action(async (filter: string[], options: FlowsOptions) => {
      const { listFlows, logFlows } = await import('./flows-run.ts');
      await (options.log ? logFlows : listFlows)(filter.join(' '), options);
    });
  addOutput(command);
}
