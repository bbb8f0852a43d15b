import { type Command, Option } from 'commander';
import { DEFAULT_SOCKET } from '../../../api/client.ts';
import { integerOption } from './capture.ts';
import type { TraceOptions } from './trace-run.ts';

/** `ripstop trace`: how a packet would be forwarded, or how real ones are. */
export function addTrace(program: Command): void {
  program
    .command('trace')
    .summary('show how a packet would be forwarded')
    .description(
      'Shows step by step how this node would forward a packet: route, NAT, neighbour, peer, outer header, MTU. ' +
        'Sends nothing. --peer-socket continues at the other node. --live follows real packets ' +
        'through both nodes. The exit status is 1 if the packet would be dropped.',
    )
    .requiredOption('--src <address>', 'source address, e.g. of a pod')
    .requiredOption('--dst <address>', 'destination address')
    .addOption(new Option('--proto <protocol>', 'protocol').choices(['tcp', 'udp', 'icmp']))
    .option('--sport <port>', 'source port of TCP or UDP', integerOption(1, 65535))
    .option('--dport <port>', 'destination port of TCP or UDP', integerOption(1, 65535))
    .option(
      '--size <bytes>',
      'size of the IP packet (default: a SYN for TCP, otherwise 84)',
      integerOption(28, 65535),
    )
    .option('--peer-socket <path>', "socket of the other node's agent")
    .option('--live', 'follow real packets that match, until Ctrl-C')
    .option('-c, --count <packets>', 'with --live: stop after this number of packets', integerOption(1, 1e9))
    .option('--json', 'print JSON; with --live one line per packet')
    .option('--socket <path>', "the agent's socket", DEFAULT_SOCKET)
    .action(async (options: TraceOptions) => {
      const { traceDry } = await import('./trace-run.ts');
      if (!options.live) return traceDry(options);
      const { traceLive } = await import('./trace-live.ts');
      await traceLive(options);
    });
}
