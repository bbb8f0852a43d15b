import type { Command } from 'commander';
import type { CleanupReport } from '../../../agent/cleanup.ts';
import { hasCode, RipstopError } from '../../../base/errors.ts';
import { objectText } from '../../json/print.ts';
import { addOutput, type OutputOptions } from '../../options.ts';

interface CleanupFlags extends OutputOptions {
  instance?: string;
  stateDir?: string;
  subnetFile?: string;
  cniCallsDir: string;
  flannel?: true;
  flannelRules?: true;
}

/** `ripstop cleanup`: removes everything that the agent made on this node. */
export function addCleanup(program: Command): void {
  const command = program
    .command('cleanup')
    .summary('remove everything that the agent made on this node')
    .description(
      'Removes the devices, routes, rules and files that the agent made on this node, and nothing else. ' +
        'Also completes the CNI calls (DEL, GC) that were recorded while no agent answered. ' +
        'The agent must not run, except for --flannel-rules. The lease stays in the store until it ends.',
    )
    .option('--instance <name>', 'name of the agent instance to clean up (default: none)')
    .option(
      '--state-dir <path>',
      'state directory of the agent (default: /run/ripstop, or that of the instance)',
    )
    .option(
      '--subnet-file <path>',
      'subnet file of the agent (default: /run/flannel/subnet.env, or that of the instance)',
    )
    .option('--cni-calls-dir <path>', 'directory of the recorded CNI calls', '/var/lib/cni/ripstop/calls')
    .option(
      '--flannel',
      'also remove the VXLAN devices, routes, nftables tables and iptables chains of flannel',
    )
    .option(
      '--flannel-rules',
      'remove only the nftables tables and iptables chains of flannel; the agent may run',
    )
    .action(cleanup);
  addOutput(command);
}

async function cleanup(options: CleanupFlags): Promise<void> {
  const { socketPath } = await import('../../../api/server.ts');
  const { getJson } = await import('../../../api/client.ts');
  const { pathsOf } = await import('../../../agent/inputs/paths.ts');
  if (options.flannelRules) {
    if (options.flannel)
      throw new RipstopError(
        'ECONFIG',
        '--flannel and --flannel-rules exclude each other',
        'use --flannel-rules while the agent runs; --flannel removes everything after it was stopped',
      );
    const { removeFlannelRules } = await import('../../../agent/rules/flannel-rules.ts');
    await print({ removed: await removeFlannelRules(''), completed: [], kept: [], failures: [] }, options);
    return;
  }
  const { instance = '' } = options;
  const { stateDir, subnetFile } = pathsOf(instance, options.stateDir, options.subnetFile);
  const socket = socketPath(stateDir);
  const isRunning = await getJson(socket, '/status').then(
    () => true,
    error => !hasCode(error, 'ENOAGENT'),
  );
  if (isRunning)
    throw new RipstopError(
      'EINUSE',
      `an agent runs on ${socket}`,
      'stop it first, as it would restore everything',
    );
  const { cleanUp } = await import('../../../agent/cleanup.ts');
  const { flannel = false } = options;
  const calls = await completeRecordedCalls(options.cniCallsDir);
  const made = await cleanUp({ netns: '', instance, stateDir, subnetFile, flannel });
  const report = {
    removed: made.removed,
    completed: calls.completed,
    kept: made.kept,
    failures: [...calls.refused, ...calls.failed, ...made.failures],
  };
  await print(report, options);
}

interface Report extends CleanupReport {
  readonly completed: readonly string[];
}

async function print(report: Report, { output }: CleanupFlags): Promise<void> {
  const { removed, completed, kept, failures } = report;
  if (output) process.stdout.write(await objectText(output, 'ripstop-cleanup/1', report));
  else {
    const lines = [
      ...completed,
      ...(removed.length + completed.length + failures.length === 0 ? ['nothing to remove'] : []),
      ...removed.map(line => `removed ${line}`),
      ...kept.map(line => `kept ${line}`),
    ];
    process.stdout.write(lines.map(line => `${line}\n`).join(''));
  }
  for (const failure of failures) process.stderr.write(`ripstop: not removed: ${failure}\n`);
  if (failures.length === 0) return;
  if (process.geteuid?.() !== 0)
    process.stderr.write('ripstop: cleanup changes the network of the node: run it as root\n');
  process.exitCode = 1;
}

/** Completes the calls that the CNI executables recorded while no agent answered. The plugins run in this process. */
async function completeRecordedCalls(directory: string) {
  const { RecordedCalls } = await import('../../../cni/shim/completion.ts');
  const { handleRequest } = await import('../../../cni/shim/serve.ts');
  const { processHost } = await import('../../../cni/process.ts');
  return new RecordedCalls(directory, { ...processHost(), log: () => {} }, handleRequest).complete();
}
