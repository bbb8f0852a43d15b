import type { Command } from 'commander';
import { addOutput, integerOption, SOCKET } from '../../options.ts';
import type { ReportOptions } from './report-run.ts';

/** `ripstop report`: everything that another person needs to find a fault of this node, in one file. */
export function addReport(program: Command): void {
  const command = program
    .command('report')
    .summary('write the state of this node to one file, for another person')
    .description(
      'Writes one archive (tar.gz) for a person who cannot log in to this node: status, peers, leases, routes, drops, audit, ' +
        'doctor and the last log lines of the agent; links, addresses, routes, neighbours, firewall rules, settings and counters of ' +
        'the kernel. Environment, configuration files and comments of rules are never part of it, and what looks like a secret is ' +
        'withheld. A part that cannot be had, as without an agent or root, is named with the reason. The commands status, ' +
        'peers, routes, leases, drops, doctor, trace and replay read the file with --from, on any machine.',
    )
    .option(
      '-f, --file <path>',
      'file to write, readable by its owner only; - for standard output (default: ripstop-report-TIME.tar.gz)',
    )
    .option(
      '--duration <seconds>',
      'time between the two readings of the counters, and length of the audit',
      integerOption(1, 60),
      5,
    )
    .option('--pseudonyms', 'replace names and addresses, each always by the same one; subnets stay subnets')
    .addOption(SOCKET)
    .action(async (options: ReportOptions) => {
      const { runReport } = await import('./report-run.ts');
      await runReport(options, program.version() ?? '');
    });
  addOutput(command);
}
