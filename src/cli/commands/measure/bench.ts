import { type Command, InvalidArgumentError, Option } from 'commander';
import { addOutput, integerOption, list } from '../../options.ts';
import type { BenchOptions } from './bench-run.ts';
import { durationOption } from './parse.ts';

const EXAMPLES = `
Examples:
  ripstop bench 10.0.0.2 --html report.html      at 10.0.0.2 runs ripstop sink
  ripstop bench 10.0.0.2 --size 512 --repeats 2 --trial 500ms     a quick look
  ripstop bench 10.0.0.2 --json > before.json
  ripstop bench --compare before.json after.json
`;

/** `ripstop bench`: what the path to a sink carries. */
export function addBench(program: Command): void {
  const command = program
    .command('bench')
    .summary('measure what the path to a sink carries: throughput, loss, latency, TCP')
    .description(
      'Measures the path to a `ripstop sink`: by size the highest rate at which packets pass (binary search, RFC 2544), loss ' +
        'by rate, round trips at 10, 50 and 90 % of that rate, the longest burst that passes; then TCP next to what the path ' +
        'allows (RFC 6349), and round trips meanwhile. It loads the path fully. Everything is repeated; the range of the ' +
        'repeats is the confidence interval. Sizes and bit rates are those of IP packets.',
    )
    .argument('[sink]', 'address or name of the sink, with its port if it is not 5299')
    .option(
      '--size <bytes>',
      'sizes of the IP packets, comma-separated (default: 46,512 and 1500 or what fits the path)',
      sizes,
    )
    .addOption(
      new Option('--repeats <count>', 'how often everything is measured')
        .default(5)
        .argParser(integerOption(1, 100)),
    )
    .addOption(
      new Option('--trial <time>', 'duration of one trial').default(1000, '1s').argParser(durationOption),
    )
    .addOption(
      new Option('--loss <percent>', 'loss with which a trial still passes').default(0.1).argParser(percent),
    )
    .addOption(new Option('--flows <count>', 'number of flows').default(1).argParser(integerOption(1, 127)))
    .option('--gso', 'let the kernel or the network card cut packets out of large ones (UDP_SEGMENT)')
    .option('--no-tcp', 'leave out TCP')
    .option('--source <address>', 'own address (default: that of the route)')
    .option('--csv <file>', 'write all values to this file (default: none)')
    .option('--html <file>', 'write a report with plots to this file (default: none)')
    .addOption(
      new Option(
        '--compare <files...>',
        'compare two files of --json instead of measuring (default: none)',
      ).conflicts(['csv', 'html']),
    )
    .addHelpText('after', EXAMPLES)
    .action(async (sink: string | undefined, options: BenchOptions) => {
      const { runBenchCommand } = await import('./bench-run.ts');
      await runBenchCommand(sink, options);
    });
  addOutput(command);
}

function sizes(text: string): number[] {
  return list(text).map(integerOption(46, 65_535));
}

function percent(text: string): number {
  const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
  if (value >= 0 && value <= 50) return value;
  throw new InvalidArgumentError('Expected per cent from 0 to 50.');
}
