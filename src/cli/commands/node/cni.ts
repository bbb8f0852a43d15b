import type { Command } from 'commander';

interface CniFlags {
  binDir: string;
  confDir?: string;
  conf: boolean;
  force?: true;
  socket?: string;
  callsDir?: string;
  standalone?: true;
  rules?: true;
}

/** `ripstop cni`: puts the CNI plugins where container runtimes look for them, and takes them away again. */
export function addCni(program: Command): void {
  const cni = program
    .command('cni')
    .summary('install or uninstall the CNI plugins')
    .description('Puts the CNI plugins where container runtimes look for them, and takes them away again.');
  cni
    .command('install')
    .summary('put executables and configuration in place')
    .description(
      'Writes the executables of all plugins and, behind them, a network configuration for the ripstop plugin. ' +
        'Plugins of other makers stay, unless --force is given. Safe while a runtime is using them.',
    )
    .option('--bin-dir <directory>', 'directory of the executables', '/opt/cni/bin')
    .option('--conf-dir <directory>', 'directory of network configurations', '/etc/cni/net.d')
    .option('--no-conf', 'write no network configuration')
    .option('--force', 'also in the place of plugins of other makers')
    .option('--socket <file>', 'socket of the agent', '/run/ripstop/cni.sock')
    .option(
      '--calls-dir <directory>',
      "directory in which DEL and GC are recorded while no agent answers (the agent's --cni-calls-dir)",
      '/var/lib/cni/ripstop/calls',
    )
    .option(
      '--standalone',
      'for a node without an agent: where no agent answers, start this Node instead of recording the call',
    )
    .action(install);
  cni
    .command('uninstall')
    .summary('take them away')
    .description(
      'Removes the network configuration and the executables that are ours. Pods that run keep their network.',
    )
    .option('--bin-dir <directory>', 'directory of the executables', '/opt/cni/bin')
    .option('--conf-dir <directory>', 'directory of network configurations', '/etc/cni/net.d')
    .option(
      '--calls-dir <directory>',
      'directory of the recorded calls that are reported',
      '/var/lib/cni/ripstop/calls',
    )
    .option(
      '--rules',
      'also remove the nftables tables of the plugins: host ports, masquerading and firewall rules, also of running pods',
    )
    .action(uninstall);
  cni
    .command('dhcp-daemon')
    .summary('run the daemon of the dhcp plugin')
    .description(
      'Runs the daemon of the dhcp plugin in the foreground, with the flags of the reference daemon.',
    )
    .allowUnknownOption()
    .allowExcessArguments()
    .helpOption(false)
    .action(runDaemon);
}

async function runDaemon(_options: object, command: Command): Promise<void> {
  const { runDhcpDaemon } = await import('../../../cni/ipam/dhcp/daemon-process.ts');
  process.exitCode = await runDhcpDaemon(process.argv.slice(process.argv.indexOf(command.name()) + 1));
}

async function install({
  binDir,
  confDir,
  conf,
  force,
  socket,
  callsDir,
  standalone,
}: CniFlags): Promise<void> {
  const { installCni } = await import('../../../cni/install.ts');
  const { written, kept } = installCni({
    binDir,
    confDir: conf ? confDir : undefined,
    force: force ?? false,
    standalone: standalone ?? false,
    ...(socket ? { socket } : {}),
    ...(callsDir ? { callsDir } : {}),
  });
  for (const file of written) process.stdout.write(`wrote ${file}\n`);
  for (const file of kept)
    process.stderr.write(`ripstop: left ${file} alone: it is of another maker (--force replaces it)\n`);
}

async function uninstall({ binDir, confDir, callsDir, rules }: CniFlags): Promise<void> {
  const { uninstallCni } = await import('../../../cni/install.ts');
  const { removeOwnTables } = await import('../../../cni/rules/nft-elements.ts');
  const { listRecords } = await import('../../../cni/shim/recorded.ts');
  const removed = uninstallCni({ binDir, confDir: confDir! });
  if (rules) removed.push(...(await removeOwnTables('')));
  if (removed.length === 0) process.stdout.write('nothing to remove\n');
  for (const file of removed) process.stdout.write(`removed ${file}\n`);
  const { length } = listRecords(callsDir!);
  if (length === 0) return;
  process.stderr.write(
    `ripstop: ${length} recorded calls are left in ${callsDir}: \`ripstop cleanup\` completes them\n`,
  );
}
