import { type Command, InvalidArgumentError, Option } from 'commander';
import type { CaptureOptions } from './capture-run.ts';

/** `ripstop capture`: the packets inside a running data plane, in the manner of tcpdump. */
export function addCapture(program: Command): void {
  program
    .command('capture')
    .summary('capture packets inside the running data plane')
    .description(
      'Captures packets inside the running data plane: inner frames, tunnel datagrams and dropped packets, each with ' +
        'its verdict and peer. Prints one line per packet, or writes pcapng with --write. The filter is in the language ' +
        'of tcpdump (man pcap-filter) and applies to the inner frame.',
    )
    .argument('[filter...]', 'packets to capture, e.g. tcp port 80 and host 10.244.2.9')
    .option('-w, --write <file>', 'write a capture file; - for standard output')
    .addOption(
      new Option('--format <format>', 'file format; by default from the suffix of the file').choices([
        'pcapng',
        'pcap',
      ]),
    )
    .option(
      '-p, --point <names>',
      'capture points: egress-inner, egress-outer, ingress-outer, ingress-inner, drop',
      list,
    )
    .option('--device <device>', 'overlay device, if the node has one per address family')
    .option('--peer <peer>', 'only packets of this peer, by name or underlay address')
    .option('--vni <vni>', 'only this VXLAN network identifier', integerOption(0, 0xffffff))
    .option('--verdict <names>', 'only these verdicts; drop selects all verdicts that drop', list)
    .option('--outer <filter>', 'filter on the outer datagram')
    .option(
      '-s, --snap-length <bytes>',
      'bytes to keep per packet, 0 for all (default: 256 when printing, all in a file)',
      integerOption(0, 262144),
    )
    .option('--segments', 'split GSO packets and fill in checksums')
    .option('-c, --count <packets>', 'stop after this number of packets', integerOption(1, 1e12))
    .option('--duration <seconds>', 'stop after this time', integerOption(1, 1e9))
    .option('-C, --rotate-size <size>', 'rotate after this size: 500k, 100M, 1G', size)
    .option('-G, --rotate-time <seconds>', 'rotate after this time', integerOption(1, 1e9))
    .option('-W, --keep <files>', 'number of files to keep', integerOption(1, 1e6))
    .option('--socket <path>', "the agent's socket")
    .action(async (filter: string[], options: CaptureOptions, command: Command) => {
      const { runCaptureCommand } = await import('./capture-run.ts');
      await runCaptureCommand(filter.join(' '), options, command.parent?.version() ?? '');
    });
}

/** A comma-separated list; the option may also be repeated. */
export function list(text: string, before: string[] = []): string[] {
  return [...before, ...text.split(',').map(word => word.trim())].filter(word => word !== '');
}

/** A parser of integers within `min..max`. */
export function integerOption(min: number, max: number): (text: string) => number {
  return text => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw new InvalidArgumentError(`Expected an integer from ${min} to ${max}.`);
  };
}

/** Bytes of `500k`, `100M`, `1G` or a plain number; the letters are powers of 1024. */
export function size(text: string): number {
  const [, digits, unit = ''] = /^(\d{1,9})([kmg]?)$/i.exec(text) ?? [];
  const bytes = digits ? Number(digits) * 1024 ** ['', 'k', 'm', 'g'].indexOf(unit.toLowerCase()) : 0;
  if (bytes >= 1024) return bytes;
  throw new InvalidArgumentError('Expected a size of at least 1k, e.g. 500k, 100M or 1G.');
}
