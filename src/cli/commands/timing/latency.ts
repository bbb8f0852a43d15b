import type { Command } from 'commander';
import { addOutput, integerOption, SOCKET } from '../../options.ts';
import type { LatencyFlags } from './latency-run.ts';

const EXAMPLE = `
Example:
  ripstop latency worker-2 --count 50
`;

/** `ripstop latency`: where a round trip to a peer spends its time. */
export function addLatency(program: Command): void {
  const command = program
    .command('latency')
    .summary('show where a round trip to a peer spends its time')
    .description(
      'Sends ICMP echoes to a peer through the tunnel, one by one, and shows the time of each stage: the queue of the ' +
        'device, the batch, the send, the underlay, the peer, the receive, the write. The last line names the stage that ' +
        'takes most. The exit status is 1 if no echo was answered.',
    )
    .argument('<peer>', 'name or underlay address of the peer')
    .option('-c, --count <echoes>', 'number of echoes', integerOption(1, 200), 20)
    .addOption(SOCKET)
    .addHelpText('after', EXAMPLE)
    .action(async (peer: string, options: LatencyFlags) => {
      const { showLatency } = await import('./latency-run.ts');
      await showLatency(peer, options);
    });
  addOutput(command);
}
