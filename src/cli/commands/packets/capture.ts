import { type Command, Option } from 'commander';
import { addOutput, integerOption, list, SOCKET, seconds, size } from '../../options.ts';
import type { CaptureOptions } from './capture-output.ts';

/** `ripstop capture`: prints or writes the packets inside a running data plane, as tcpdump does for an interface. */
export function addCapture(program: Command): void {
  const command = program
    .command('capture')
    .summary('capture packets inside the running data plane, or of a pod')
    .description(
      'Captures packets inside the running data plane: inner frames, tunnel datagrams and dropped packets, each with ' +
        'its verdict and peer. Prints one line per packet, or writes pcapng with --write. The filter is in the language ' +
        'of tcpdump (man pcap-filter) and applies to the inner frame. With --pod it captures all packets of a pod instead, ' +
        'also those that never enter the tunnel: to another pod of the node, to the node, to a Service.',
    )
    .argument('[filter...]', 'packets to capture, e.g. tcp port 80 and host default/web-1')
    .option('-w, --write <file>', 'write a capture file instead of printing lines; -: standard output')
    .addOption(
      new Option(
        '--format <format>',
        'file format (default: pcap for a name in .pcap, otherwise pcapng)',
      ).choices(['pcapng', 'pcap']),
    )
    .option(
      '-p, --point <names>',
      'capture points, comma-separated: egress-inner, egress-outer, ingress-outer, ingress-inner, drop (default: all)',
      list,
    )
    .option(
      '--pod <names>',
      'capture at the interfaces of these pods of the node: namespace/name, comma-separated; needs root in the network namespace of the node (default: inside the data plane)',
      list,
    )
    .option('--device <device>', 'overlay device to capture on; needed only if the node has several')
    .option('--peer <peer>', 'only packets of this peer, by name or underlay address')
    .option('--vni <vni>', 'only packets with this VXLAN network identifier', integerOption(0, 0xffffff))
    .option(
      '--verdict <names>',
      'only packets with these verdicts, comma-separated; drop selects all verdicts that drop',
      list,
    )
    .option('--outer <filter>', 'only packets whose outer datagram matches this filter')
    .option(
      '-s, --snap-length <bytes>',
      'maximum bytes to keep per packet; 0: no limit (default: 256 when printing, 0 with --write)',
      integerOption(0, 262144),
    )
    .option('--segments', 'split GSO packets into segments and fill in partial checksums')
    .option(
      '-c, --count <packets>',
      'stop after this number of packets (default: no limit)',
      integerOption(1, 1e12),
    )
    .option(
      '--past <time>',
      'headers of the packets of this last time, as 30s or 5m, from the flight recorder (default: packets from now on)',
      seconds,
    )
    .option('--duration <seconds>', 'stop after this time (default: no limit)', integerOption(1, 1e9))
    .option(
      '-C, --rotate-size <size>',
      'start a new file at this size, in bytes or as 500k, 100M, 1G (default: no rotation)',
      size,
    )
    .option(
      '-G, --rotate-time <seconds>',
      'start a new file after this time (default: no rotation)',
      integerOption(1, 1e9),
    )
    .option(
      '-W, --keep <files>',
      'with rotation: number of files to keep (default: all)',
      integerOption(1, 1e6),
    )
    .addOption(SOCKET)
    .action(async (filter: string[], options: CaptureOptions, command: Command) => {
      const { runCaptureCommand } = await import('./capture-run.ts');
      await runCaptureCommand(filter.join(' '), options, command.parent?.version() ?? '');
    });
  addOutput(command, 'packet');
}
