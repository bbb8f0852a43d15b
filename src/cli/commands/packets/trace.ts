import { type Command, Option } from 'commander';
import { DEFAULT_SOCKET } from '../../../api/client.ts';
import { integerOption } from './capture.ts';
import type { TraceOptions } from './trace-run.ts';

/** `ripstop trace`: what would become of a packet, or what becomes of real ones. */
export function addTrace(program: Command): void {
  program
    .command('trace')
    .summary('say step by step what becomes of a packet')
    .description(
      'Says step by step what this node would do with a packet: route, NAT, neighbour, peer, outer header, MTU. ' +
        'Sends nothing. With the socket of the other node it goes on there. With --live it follows real packets ' +
        'through both nodes. Exit status 1: the packet would be lost.',
    )
    .requiredOption('--src <address>', 'where the packet comes from, as a pod')
    .requiredOption('--dst <address>', 'where it goes')
    .addOption(new Option('--proto <protocol>', 'its protocol').choices(['tcp', 'udp', 'icmp']))
    .option('--sport <port>', 'TCP or UDP port that it comes from', integerOption(1, 65535))
    .option('--dport <port>', 'TCP or UDP port that it goes to', integerOption(1, 65535))
    .option('--size <bytes>', 'bytes of the IP packet (default: a SYN, else 84)', integerOption(28, 65535))
    .option('--peer-socket <path>', 'socket of the node at the other end')
    .option('--live', 'follow real packets that match, until Ctrl-C')
    .option('-c, --count <packets>', 'with --live: end after so many', integerOption(1, 1e9))
    .option('--json', 'print JSON, with --live an object a line')
    .option('--socket <path>', "the agent's socket", DEFAULT_SOCKET)
    .action(async (options: TraceOptions) => {
      const { traceDry } = await import('./trace-run.ts');
      if (!options.live) return traceDry(options);
      const { traceLive } = await import('./trace-live.ts');
      await traceLive(options);
    });
}
