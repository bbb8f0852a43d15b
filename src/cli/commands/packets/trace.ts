import { type Command, Option } from 'commander';
import { RipstopError } from '../../../base/errors.ts';
import { addFrom, addOutput, integerOption, SOCKET } from '../../options.ts';
import type { TraceOptions } from './trace-run.ts';

/** `ripstop trace`: how a packet would be forwarded, or how real ones are. */
export function addTrace(program: Command): void {
  const command = program
    .command('trace')
    .summary('show how a packet would be forwarded')
    .description(
      'Shows step by step how this node would forward a packet: route, NAT, neighbour, peer, outer header, MTU. ' +
        'Sends nothing. --peer-socket continues at the other node. --from and --peer-from take reports instead of agents. --live follows real packets ' +
        'through both nodes. The exit status is 1 if the packet would be lost, 3 if that cannot be known.',
    )
    .requiredOption('--src <address>', 'source: an address, or namespace/name of a pod')
    .requiredOption('--dst <address>', 'destination, likewise')
    .addOption(
      new Option('--proto <protocol>', 'protocol (default: tcp with a port, otherwise icmp)').choices([
        'tcp',
        'udp',
        'icmp',
      ]),
    )
    .option('--sport <port>', 'source port of TCP or UDP (default: 40000)', integerOption(1, 65535))
    .option('--dport <port>', 'destination port of TCP or UDP (default: 80)', integerOption(1, 65535))
    .option(
      '--size <bytes>',
      'length of the IP packet (default: 40 for TCP over IPv4, 60 for TCP over IPv6, otherwise 84)',
      integerOption(28, 65535),
    )
    .option('--peer-socket <path>', "path of the socket of the other node's agent; continues the trace there")
    .addOption(
      new Option(
        '--peer-from <file>',
        'report of the other node; continues the trace there (default: none)',
      ).conflicts(['peerSocket', 'live']),
    )
    .option('--live', 'follow real packets with these addresses, until Ctrl-C')
    .option(
      '-c, --count <packets>',
      'with --live: stop after this number of packets (default: no limit)',
      integerOption(1, 1e9),
    )
    .addOption(SOCKET)
    .action(async (options: TraceOptions) => {
      const { traceDry } = await import('./trace-run.ts');
      if (!options.live) {
        if (options.count !== undefined)
          throw new RipstopError('ECONFIG', '--count without --live', 'add --live, or leave out --count');
        return traceDry(options);
      }
      const { traceLive } = await import('./trace-live.ts');
      await traceLive(options);
    });
  addOutput(command, 'packet with --live');
  addFrom(command, ['live', 'count']);
}
