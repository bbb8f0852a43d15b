import { type Command, Option } from 'commander';
import { DEFAULT_SOCKET } from '../../../api/client.ts';
import { FLOW_ORDERS } from '../../../capture/flows/flow-order.ts';
import { integerOption } from './capture.ts';
import type { FlowsOptions } from './flows-run.ts';

/** The options that `flows` and `top` have in common. */
export function flowOptions(command: Command): Command {
  return command
    .argument('[filter...]', 'which flows, as for tcpdump: tcp port 80 and host 10.244.2.9')
    .addOption(
      new Option('--by <what>', 'a row a flow or a row a peer').choices(['flow', 'peer']).default('flow'),
    )
    .addOption(new Option('--sort <by>', 'the largest first').choices(FLOW_ORDERS).default('rate'))
    .option('--socket <path>', "the agent's socket", DEFAULT_SOCKET);
}

/** `ripstop flows`: the flows inside of the running data plane, once, or as a log. */
export function addFlows(program: Command): void {
  flowOptions(
    program
      .command('flows')
      .summary('list the flows inside the running data plane')
      .description(
        'Lists the flows inside the running data plane by 5-tuple or by peer: rate, bytes, what was lost, TCP ' +
          'segments that were sent again, and the time to their acknowledgement. Asking turns counting on, and it ' +
          'stays on for a quarter of a minute. > goes to the peer, < comes from it.',
      ),
  )
    .option('-n, --rows <rows>', 'rows at most, 0 for all', integerOption(0, 1e6), 20)
    .option('--seconds <seconds>', 'count at least so long before the answer', integerOption(1, 3600), 2)
    .option('--json', 'print JSON')
    .option('--log', 'print each flow as a JSON object a line, when it ends and each minute, until Ctrl-C')
    .action(async (filter: string[], options: FlowsOptions) => {
      const { listFlows, logFlows } = await import('./flows-run.ts');
      await (options.log ? logFlows : listFlows)(filter.join(' '), options);
    });
}
