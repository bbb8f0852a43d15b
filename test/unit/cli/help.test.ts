import type { Command } from 'commander';
import t from 'tap';
import { createProgram } from '../../../src/cli/program.ts';

/* The help of every command but those with flanneld's flags, which `ripstop agent --help` and `run --help` print. */

const commands = (command: Command): Command[] => [command, ...command.commands.flatMap(commands)];
const all = commands(createProgram('0.0.0'));

t.test('the help of every command fits 80 columns', async t => {
  t.ok(all.length >= 20, `${all.length} commands`);
  for (const command of all)
    t.strictSame(
      command
        .helpInformation()
        .split('\n')
        .filter(line => line.length > 80),
      [],
      command.name(),
    );
});

t.test('every command and option is described', async t => {
  for (const command of all) {
    t.ok(command.description().length > 0, command.name());
    for (const option of command.options) t.match(option.description, /^([a-z]|MTU)/, option.flags);
  }
});

t.test('an option that takes a value has a default, or its text says what its absence means', async t => {
  const absent = /\(default: |^only packets|^second |needed (only )?if|instead of|continues the trace/;
  for (const command of all)
    for (const { flags, required, mandatory, defaultValue, description } of command.options)
      if (required && !mandatory && defaultValue === undefined)
        t.match(description, absent, `${command.name()} ${flags}`);
});

t.test('a wrong option is refused with what would be right', async t => {
  const refusal = async (...words: string[]) => {
    const program = createProgram('0.0.0');
    let text = '';
    for (const command of commands(program))
      command.exitOverride().configureOutput({ writeErr: part => (text += part) });
    await t.rejects(program.parseAsync(words, { from: 'user' }), words.join(' '));
    return text;
  };
  t.match(await refusal('status', '--jsn'), /unknown option '--jsn'\n\(Did you mean --json\?\)/);
  t.match(await refusal('flow'), /unknown command 'flow'\n\(Did you mean flows\?\)/);
  t.match(await refusal('flows', '--sort', 'size'), /Allowed choices are rate, packet-rate, bytes/);
  t.match(await refusal('flows', '--log', '--json'), /'--log' cannot be used with option '-j, --json'/);
  t.match(await refusal('top', '-d', '0'), /Expected an integer from 1 to 3600\./);
  t.match(await refusal('trace', '--dst', '10.0.0.1'), /required option '--src <address>' not specified/);
  await t.rejects(
    createProgram('0.0.0').parseAsync(['trace', '--src', '10.0.0.1', '--dst', '10.0.0.2', '--count', '3'], {
      from: 'user',
    }),
    { code: 'ECONFIG', message: '--count without --live', hint: 'add --live, or leave out --count' },
  );
});
