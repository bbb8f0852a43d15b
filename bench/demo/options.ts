import { Command, InvalidArgumentError, Option } from 'commander';
import type { Family } from '../../encap/encap.ts';
import { CONDITIONS, type LabCondition } from '../../src/lab/topology.ts';

export interface DemoOptions {
  mode: 'vxlan' | 'udp';
  inner: Family;
  underlay: Family;
  condition: LabCondition;
  quick: boolean;
  /** Ping and transfer only. */
  check: boolean;
  json: boolean;
  keep: boolean;
  /** Measure kernel VXLAN as well. */
  kernel: boolean;
  /** Only remove what `--keep` left. */
  remove: boolean;
}

function family(word: string): Family {
  if (word !== '4' && word !== '6') throw new InvalidArgumentError('It takes 4 or 6.');
  return Number(word) as Family;
}

/** Reads the command line; on a mistake or for `--help` it prints and ends the process. */
export function readOptions(argv: readonly string[]): DemoOptions {
  const command = new Command('demo')
    .usage('[options]    (npm run demo -- [options])')
    .description(
      'Two nodes and a pod behind each, in network namespaces on this machine, joined by Ripstop: ping, file transfer ' +
        'compared by hash, throughput, latency and packet rate, compared with kernel VXLAN. Removes everything that it created.',
    )
    .addOption(new Option('--mode <mode>', 'wire format').choices(['vxlan', 'udp']).default('vxlan'))
    .option('--inner <family>', 'IP version between the pods, 4 or 6', family, 4)
    .option('--underlay <family>', 'IP version between the nodes, 4 or 6', family, 4)
    .addOption(
      new Option('--condition <name>', 'offloads of the underlay, see docs/guides/benchmark/demo.md')
        .choices(Object.keys(CONDITIONS))
        .default('wirecs'),
    )
    .option('--quick', 'fewer and shorter rounds, well under 40 seconds', false)
    .option('--check', 'ping and transfer only, in a few seconds; nothing is measured', false)
    .option('--json', 'print one JSON object on standard output and nothing else', false)
    .option('--keep', 'keep the Ripstop overlay and print how to enter and remove it', false)
    .option('--no-kernel', 'do not measure kernel VXLAN')
    .option('--remove', 'remove what --keep left, and do nothing else', false)
    .helpOption('-h, --help', 'print this')
    .allowExcessArguments(false);
  return command.parse(argv, { from: 'user' }).opts<DemoOptions>();
}
