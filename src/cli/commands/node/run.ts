import type { Command } from 'commander';
import type { FlagSet } from '../../../agent/config/flags.ts';
import type { StaticStore } from '../../../agent/store/static/store.ts';
import { RipstopError } from '../../../base/errors.ts';

/** `ripstop run`: the node agent with a file in place of a store, for a node in the foreground. */
export function addRun(program: Command): void {
  program
    .command('run')
    .summary('run one node in the foreground, its peers listed in a file')
    .description('Runs the node agent in the foreground; a file lists the peers.')
    .allowUnknownOption()
    .allowExcessArguments()
    .helpOption(false)
    .action((_options: object, command: Command) => run(command));
}

async function run(command: Command): Promise<void> {
  const argv = process.argv.slice(process.argv.indexOf(command.name()) + 1);
  const isCheck = argv.includes('--check');
  const [file = '', ...words] = argv.filter(word => word !== '--check');
  const flagSet: FlagSet = {
    command: 'ripstop run',
    defaults: {
      ...{ store: 'static', 'store-path': file },
      ...{ rules: false, 'keep-state': false, 'exit-on-failure': true, 'web-port': 0 },
    },
    without: ['store', 'etcd', 'kubernetes', 'cni', 'inert'],
  };
  if (argv.some(word => /^--?(h|help)$/.test(word))) {
    const { describeFlags } = await import('./flags-help.ts');
    process.stdout.write(USAGE + describeFlags(flagSet));
    return;
  }
  if (file === '' || /^-./.test(file))
    throw new RipstopError('ECONFIG', 'the file is missing', 'ripstop run FILE [flags]; - is standard input');
  const { parseFlags } = await import('../../../agent/config/flags.ts');
  const { prepareAgent, runAgent } = await import('../../../api/process.ts');
  const flags = parseFlags(words, process.env, flagSet);
  const prepared = await prepareAgent(flags);
  if (!isCheck) return runAgent(prepared, command.parent?.version() ?? '');
  const { checkFile } = await import('../../../agent/store/static/contradictions.ts');
  const { file: parsed } = prepared.store as StaticStore;
  checkFile(parsed, file, prepared.options);
  const { mode, device, peers } = parsed;
  const count = `${peers.length} peer${peers.length === 1 ? '' : 's'}`;
  process.stdout.write(`${file}: valid: ${mode} on ${device}, ${count}\n`);
}

const USAGE = `Usage: ripstop run FILE [flags]

Runs the node agent in the foreground. FILE (YAML) lists the peers; - is
standard input. SIGHUP reads the file again. At the end (Ctrl-C, SIGTERM)
everything that the node made is removed. The keys of the file are described in
docs/reference/configuration.md.

  --check  check the file and the flags, then exit; changes nothing

Every flag is also a variable, FLANNELD_… or RIPSTOP_….

`;
