import { type Command, Option } from 'commander';
import { addOutput, integerOption, list } from '../../options.ts';
import type { ReplayOptions } from './replay-run.ts';

/** `ripstop replay`: how a configuration would forward the packets of a capture. */
export function addReplay(program: Command): void {
  const command = program
    .command('replay')
    .summary('feed a capture through a forwarder, without devices or root')
    .description(
      'Feeds a capture (pcap or pcapng, of Ripstop, tcpdump or Wireshark) through the forwarder of a configuration, without ' +
        'devices or root, and shows the verdict of each packet. --against shows what a second configuration would ' +
        'change. The clock is that of the capture, so the same file always gives the same result.',
    )
    .argument('<capture>', 'capture file; - for standard input')
    .option('-c, --config <file>', 'configuration file of `ripstop run` (default: that of --from)')
    .addOption(
      new Option(
        '--from <file>',
        'file of `ripstop report`: its node is the configuration; --address chooses one of several overlays ' +
          '(default: none)',
      ).conflicts('config'),
    )
    .option('--address <address>', 'own underlay address; needed if the configuration has none')
    .addOption(
      new Option('--against <file>', 'second configuration file; show only what it would change').conflicts([
        'write',
        'verdict',
        'summary',
        'speed',
      ]),
    )
    .option(
      '-w, --write <file>',
      'write the output and the drops to a capture file: pcap for a name in .pcap, otherwise pcapng (default: none)',
    )
    .option(
      '--verdict <names>',
      'only packets with these verdicts, comma-separated; drop selects all verdicts that drop',
      list,
    )
    .addOption(
      new Option('--summary', 'print only the number of packets per verdict').conflicts(['json', 'output']),
    )
    .addOption(
      new Option('--speed <speed>', 'full: as fast as possible; capture: at the original pace')
        .choices(['full', 'capture'])
        .default('full'),
    )
    .option(
      '--underlay-mtu <bytes>',
      'MTU of the underlay (default: that of --from, otherwise 1500)',
      integerOption(576, 65535),
    )
    .action(async (path: string, options: ReplayOptions) => {
      const { runReplayCommand } = await import('./replay-run.ts');
      await runReplayCommand(path, options, program.version() ?? '');
    });
  addOutput(command, 'packet');
}
