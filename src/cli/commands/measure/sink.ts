import { type Command, Option } from 'commander';
import { addOutput, integerOption, list } from '../../options.ts';
import type { SinkCommandOptions } from './sink-run.ts';

const EXAMPLES = `
Examples:
  ripstop sink                        UDP, both families, until Ctrl-C
  ripstop sink --once --json          one stream; its figures as JSON
  ripstop sink --interface eth0       count the packets as they come in by eth0
`;

/** `ripstop sink`: counts measured packets. */
export function addSink(program: Command): void {
  const command = program
    .command('sink')
    .summary('count the measured packets of ripstop blast and ripstop bench')
    .description(
      'Invites the streams of `ripstop blast` and `ripstop bench`, counts their packets and answers those that ask for it. ' +
        'Each client connects over TCP to the port on which its packets arrive over UDP. It takes no notice of any other packet.',
    )
    .addOption(
      new Option('--port <port>', 'port, of TCP and UDP').default(5299).argParser(integerOption(1, 65_535)),
    )
    .option(
      '--address <address>',
      'own address to listen on (default: all, of both families; with --tun and --tap of IPv4)',
    )
    .addOption(
      new Option(
        '--interface <name>',
        'count packets as they come in by this interface (AF_PACKET) (default: UDP sockets)',
      ).conflicts(['tun', 'tap']),
    )
    .addOption(
      new Option(
        '--tun <name>',
        'count packets that this kernel routes to this TUN device (default: UDP sockets)',
      ).conflicts('tap'),
    )
    .option('--tap <name>', 'count packets that this kernel sends to this TAP device (default: UDP sockets)')
    .option(
      '--behind <addresses>',
      'addresses behind the device whose packets it counts, comma-separated (default: none)',
      list,
    )
    .option('--once', 'end after the first stream')
    .addHelpText('after', EXAMPLES)
    .action(async (options: SinkCommandOptions) => {
      const { runSinkCommand } = await import('./sink-run.ts');
      await runSinkCommand(options);
    });
  addOutput(command, 'stream');
}
