import { type Command, Option } from 'commander';
import { addOutput, integerOption } from '../../options.ts';
import type { BlastOptions } from './blast-run.ts';
import { countOption, durationOption, linkOption, portsOption, rateOption } from './parse.ts';

const EXAMPLES = `
Examples:
  ripstop blast 10.0.0.2                             10 Mbit/s for 10 s
  ripstop blast 10.0.0.2 --rate max --size 46 --gso  as many packets as it can
  ripstop blast 10.0.0.2 --rate 50% --link 1gbit --size imix --flows 8
  ripstop blast --self-test --size 46                what this generator can do
`;

/** `ripstop blast`: sends measured packets to a sink. */
export function addBlast(program: Command): void {
  const command = program
    .command('blast')
    .summary('send measured packets to a sink and report what arrived')
    .description(
      'Sends packets to a `ripstop sink` and reports what arrived there: losses, duplicates, order, jitter and latency. ' +
        'Sizes and bit rates are those of IP packets. Nothing is sent to an address where no sink asks for it. ' +
        'Ctrl-C ends the stream; its figures so far are printed.',
    )
    .argument(
      '[sink]',
      'address or name of the sink, with its port if it is not 5299: 10.0.0.2, [fd00::2]:6000',
    )
    .addOption(
      new Option('--rate <rate>', 'packets, bits or per cent per second: 100kpps, 10mbit, 50%, max')
        .default(rateOption('10mbit'), '10mbit')
        .argParser(rateOption),
    )
    .option(
      '--link <rate>',
      'rate of the link that --rate is a per cent of, e.g. 1gbit; frames count with preamble and gap ' +
        '(default: per cent of the rate that arrives when as much as possible is sent for 1 s)',
      linkOption,
    )
    .option(
      '--size <size>',
      'bytes of the IP packets, imix (7:4:1 of 46, 576 and 1500), or a capture file; the last two are cut to what fits the path ' +
        '(default: 1500, or what fits)',
    )
    .addOption(new Option('--for <time>', 'duration').default(10_000, '10s').argParser(durationOption))
    .addOption(
      new Option('--packets <count>', 'end after this many packets')
        .default(100e6, '100M')
        .argParser(countOption(4e9)),
    )
    .addOption(new Option('--flows <count>', 'number of flows').default(1).argParser(integerOption(1, 256)))
    .addOption(
      new Option(
        '--source-ports <ports>',
        'one flow for each of these source ports, e.g. 40000-40007 (default: any)',
      )
        .argParser(portsOption)
        .conflicts('flows'),
    )
    .addOption(
      new Option(
        '--queues <count>',
        'choose source ports so that the flows spread evenly over this many receive queues, by the RSS hash (default: any)',
      )
        .argParser(integerOption(1, 128))
        .conflicts('sourcePorts'),
    )
    .option('--gso', 'let the kernel or the network card cut packets out of large ones (UDP_SEGMENT)')
    .option('--source <address>', 'own address (default: that of the route; --tun and --tap need one)')
    .addOption(
      new Option(
        '--interface <name>',
        'send frames by this interface (AF_PACKET) (default: UDP sockets)',
      ).conflicts(['tun', 'tap']),
    )
    .addOption(
      new Option(
        '--tun <name>',
        'write IP packets to this TUN device, so that they come into this kernel (default: UDP sockets)',
      ).conflicts('tap'),
    )
    .option('--tap <name>', 'write frames to this TAP device (default: UDP sockets)')
    .option(
      '--control <address>',
      'where the sink listens, if packets are sent to an address behind its device (default: the same)',
    )
    .option('--mac <address>', 'destination MAC of frames (default: that of the next hop or of the TAP)')
    .option('--force', 'send although no sink asks for it; nothing is known of what arrives')
    .option('--self-test', 'only measure how much this generator sends at most, over loopback')
    .addHelpText('after', EXAMPLES)
    .action(async (sink: string | undefined, options: BlastOptions) => {
      const { runBlastCommand } = await import('./blast-run.ts');
      await runBlastCommand(sink, options);
    });
  addOutput(command);
}
