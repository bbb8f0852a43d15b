import type { Command } from 'commander';
import { BIN_DIR, CONF_DIR } from '../../options.ts';

interface CniFlags {
  binDir: string;
  confDir: string;
  callsDir: string;
}

interface InstallFlags extends CniFlags {
  /** False: none; true or absent: the default one. */
  conf?: string | boolean;
  socket: string;
  force?: true;
  standalone?: true;
}

interface UninstallFlags extends CniFlags {
  rules?: true;
}

/** `ripstop cni`: installs and uninstalls the CNI plugins. */
export function addCni(program: Command): void {
  const cni = program
    .command('cni')
    .summary('install or uninstall the CNI plugins')
    .description('Installs the CNI plugins for the container runtimes of this node, or uninstalls them.');
  cni
    .command('install')
    .summary('install the executables and a network configuration')
    .description(
      'Writes the executables of all plugins and then a network configuration, by default for the ripstop plugin. Third-party ' +
        'plugins are not overwritten without --force. A container runtime may use the plugins meanwhile.',
    )
    .addOption(BIN_DIR)
    .addOption(CONF_DIR)
    .option(
      '--conf <file>',
      'install this configuration list (a chain of plugins) instead of the ripstop plugin alone',
    )
    .option('--no-conf', 'write no network configuration')
    .option('--force', 'also overwrite third-party plugins')
    .option('--socket <path>', "path of the agent's socket for CNI calls", '/run/ripstop/cni.sock')
    .option(
      '--calls-dir <path>',
      "directory for the DEL and GC calls that are recorded while no agent answers; the agent's --cni-calls-dir",
      '/var/lib/cni/ripstop/calls',
    )
    .option(
      '--standalone',
      'for a node without an agent: if no agent answers, run the plugin with this Node.js instead of recording the call',
    )
    .action(install);
  cni
    .command('uninstall')
    .summary('remove the executables and the network configuration')
    .description(
      'Removes the network configuration and the executables that `ripstop cni install` wrote. Running pods keep their network.',
    )
    .addOption(BIN_DIR)
    .addOption(CONF_DIR)
    .option(
      '--calls-dir <path>',
      'directory of the recorded DEL and GC calls; calls that are left are reported',
      '/var/lib/cni/ripstop/calls',
    )
    .option(
      '--rules',
      'also remove the nftables tables of the plugins: host ports, masquerading and firewall rules, including those of running pods',
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

async function install({ confDir, conf, force, standalone, ...paths }: InstallFlags): Promise<void> {
  const { installCni } = await import('../../../cni/install.ts');
  const { written, kept } = installCni({
    ...paths,
    confDir: conf === false ? undefined : confDir,
    confFile: typeof conf === 'string' ? conf : undefined,
    force: force ?? false,
    standalone: standalone ?? false,
  });
  for (const file of written) process.stdout.write(`wrote ${file}\n`);
  for (const file of kept)
    process.stderr.write(
      `ripstop: ${file} is a third-party plugin and was not overwritten; --force overwrites it\n`,
    );
}

async function uninstall({ binDir, confDir, callsDir, rules }: UninstallFlags): Promise<void> {
  const { uninstallCni } = await import('../../../cni/install.ts');
  const { removeOwnTables } = await import('../../../cni/rules/nft-elements.ts');
  const { listRecords } = await import('../../../cni/shim/recorded.ts');
  const removed = uninstallCni({ binDir, confDir });
  if (rules) removed.push(...(await removeOwnTables('')));
  if (removed.length === 0) process.stdout.write('nothing to remove\n');
  for (const file of removed) process.stdout.write(`removed ${file}\n`);
  const { length } = listRecords(callsDir);
  if (length === 0) return;
  process.stderr.write(
    `ripstop: ${length} recorded calls are left in ${callsDir}; run \`ripstop cleanup\` to complete them\n`,
  );
}
