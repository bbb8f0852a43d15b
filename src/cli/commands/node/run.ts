import type { Command } from 'commander';

/** What `ripstop run` does differently from `ripstop agent`, as values of the agent's flags. */
const DEFAULTS = {
  rules: false,
  'keep-state': false,
  'exit-on-failure': true,
  'web-port': 0,
} as const;

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
  const { describeFlags, parseFlags } = await import('../../../agent/config/flags.ts');
  if (argv.some(word => /^--?(h|help)$/.test(word))) {
    process.stdout.write(`${usage()}\n${describeFlags(DEFAULTS)}\n`);
    return;
  }
  const { RipstopError } = await import('../../../base/errors.ts');
  const [file, ...words] = argv;
  if (file === undefined || /^-./.test(file))
    throw new RipstopError('ECONFIG', 'the file is missing', 'ripstop run FILE [flags]; - is standard input');
  const flags = parseFlags(
    words.filter(word => word !== '--check'),
    process.env,
    DEFAULTS,
    { store: 'static', 'store-path': file },
  );
  if (words.includes('--check')) {
    const { parseStaticFile, readText } = await import('../../../agent/store/static/static-file.ts');
    const { contradictionsOf } = await import('../../../agent/store/static/contradictions.ts');
    const parsed = parseStaticFile(readText(file), file);
    const { mode, device, peers } = parsed;
    const refused = contradictionsOf(parsed).map(({ key, message }) => `peer "${key}" ${message}`);
    if (refused.length > 0)
      throw new RipstopError('ECONFIG', `${file}: ${refused.join('; ')}`, 'a node would ignore such a peer');
    const count = `${peers.length} peer${peers.length === 1 ? '' : 's'}`;
    process.stdout.write(`${file}: valid: ${mode} on ${device}, ${count}\n`);
    return;
  }
  const { runAgent } = await import('../../../api/process.ts');
  await runAgent(flags, command.parent?.version() ?? '');
}

function usage(): string {
  return [
    'Usage: ripstop run FILE [flags]',
    '',
    'Runs the node agent in the foreground. FILE (YAML) lists the peers; - is standard',
    'input. SIGHUP reads the file again. At the end (Ctrl-C, SIGTERM) everything that the',
    'node made is removed. Keys of the file: docs/configuration.md.',
    '',
    '  --check  check the file and end; changes nothing',
    '',
    'The flags are those of `ripstop agent`, with these defaults. Every flag is also a',
    'variable, FLANNELD_… or RIPSTOP_….',
    '',
  ].join('\n');
}
