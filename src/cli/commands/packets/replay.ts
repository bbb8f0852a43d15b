import { type Command, Option } from 'commander';
import { integerOption, list } from './capture.ts';
import type { ReplayOptions } from './replay-run.ts';

/** `ripstop replay`: what a configuration would do with the packets of a capture. */
export function addReplay(program: Command): void {
  program
    .command('replay')
    .summary('feed a capture through a forwarder, without devices or root')
    .description(
      'Feeds a capture (pcap or pcapng, of Ripstop, tcpdump or Wireshark) through the forwarder of a configuration, without ' +
        'devices or root, and says what becomes of each packet. With --against, says what a second configuration would ' +
        'change. The clock is that of the capture: the same file gives the same answer.',
    )
    .argument('<capture>', 'the file, or - for standard input')
    .requiredOption('-c, --config <file>', 'configuration as for ripstop run')
    .option('--address <address>', 'own underlay address, when the configuration does not name one')
    .option('--against <file>', 'a second configuration: only what would change is shown')
    .option(
      '-w, --write <file>',
      'write what was put out, and what was dropped: pcapng, or pcap by its suffix',
    )
    .option(
      '--verdict <names>',
      'only packets with these verdicts; drop stands for all that lose a packet',
      list,
    )
    .option('--summary', 'only how many packets ended how')
    .option('--json', 'a JSON object a line')
    .addOption(
      new Option('--speed <speed>', 'full; as captured; or benchmark: packets a second, nothing else')
        .choices(['full', 'capture', 'benchmark'])
        .default('full'),
    )
    .option('--underlay-mtu <bytes>', 'MTU of the underlay', integerOption(576, 65535), 1500)
    .action(async (path: string, options: ReplayOptions, command: Command) => {
      const { runReplayCommand } = await import('./replay-run.ts');
      await runReplayCommand(path, options, command.parent?.version() ?? '');
    });
}
