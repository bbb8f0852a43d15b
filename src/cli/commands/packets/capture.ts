import { type Command, InvalidArgumentError, Option } from 'commander';
import type { CaptureOptions } from './capture-run.ts';

/** `ripstop capture`: what passes inside a running data plane, as tcpdump would show it. */
export function addCapture(program: Command): void {
  program
    .command('capture')
    .summary('capture packets inside the running data plane')
    .description(
      'Captures packets inside the running data plane, while traffic flows: frames before and after the tunnel and what ' +
        'was dropped, each with its verdict and peer. Prints a line a packet, or writes pcapng with --write. The filter is ' +
        "in tcpdump's language (man pcap-filter) and sees the frame inside.",
    )
    .argument('[filter...]', 'which packets, as for tcpdump: tcp port 80 and host 10.244.2.9')
    .option('-w, --write <file>', 'write a capture file, or to standard output with -')
    .addOption(
      new Option('--format <format>', 'of what is written; else by the suffix of the file').choices([
        'pcapng',
        'pcap',
      ]),
    )
    .option('-p, --point <names>', 'egress-inner, egress-outer, ingress-outer, ingress-inner, drop', list)
    .option('--device <device>', 'of this overlay, where the node has one for each family')
    .option('--peer <peer>', 'only packets of this peer: its name or underlay address')
    .option('--vni <vni>', 'only this VXLAN network identifier', integerOption(0, 0xffffff))
    .option('--verdict <names>', 'only these verdicts; drop stands for all that lose a packet', list)
    .option('--outer <filter>', 'a filter that sees the whole datagram outside')
    .option(
      '-s, --snap-length <bytes>',
      'bytes to keep of a packet, 0 for all (default: 256 for lines, all for a file)',
      integerOption(0, 262144),
    )
    .option('--segments', 'superframes as the packets on the wire, with their checksums')
    .option('-c, --count <packets>', 'end after so many packets', integerOption(1, 1e12))
    .option('--duration <seconds>', 'end after this time', integerOption(1, 1e9))
    .option('-C, --rotate-size <size>', 'a new file whenever one has this size: 500k, 100M, 1G', size)
    .option('-G, --rotate-time <seconds>', 'a new file whenever one has this age', integerOption(1, 1e9))
    .option('-W, --keep <files>', 'keep so many files, remove the oldest', integerOption(1, 1e6))
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

/** A reader of whole numbers within `min..max`. */
export function integerOption(min: number, max: number): (text: string) => number {
  return text => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw new InvalidArgumentError(`It takes a whole number within ${min}..${max}.`);
  };
}

/** Bytes of `500k`, `100M`, `1G` or a plain number; the letters are powers of 1024. */
export function size(text: string): number {
  const [, digits, unit = ''] = /^(\d{1,9})([kmg]?)$/i.exec(text) ?? [];
  const bytes = digits ? Number(digits) * 1024 ** ['', 'k', 'm', 'g'].indexOf(unit.toLowerCase()) : 0;
  if (bytes >= 1024) return bytes;
  throw new InvalidArgumentError('It takes a size of at least 1k, as 500k, 100M or 1G.');
}
