import { Command, Option } from 'commander';
import t from 'tap';
import { candidatesFor } from '../../../../src/cli/commands/completion/candidates.ts';
import { createProgram } from '../../../../src/cli/program.ts';

const asked: string[] = [];
const values: Readonly<Record<string, readonly string[]>> = { '--peer': ['node1', 'node2', 'other'] };

async function complete(words: readonly string[], program = createProgram('1')): Promise<string[]> {
  const found = await candidatesFor(program, words, async (name, socket) => {
    asked.push(`${name} ${socket ?? 'default'}`);
    return values[name];
  });
  return found.map(({ value }) => value);
}

t.test('commands, with what they are for', async t => {
  t.same(await complete(['ca']), ['capture']);
  t.same(await complete(['cni', 'in']), ['install']);
  t.notOk((await complete([''])).includes('complete'), 'not the command of the scripts');
  const [first] = await candidatesFor(createProgram('1'), ['drops'], async () => undefined);
  t.same(first, { value: 'drops', about: 'show why frames were dropped' });
});

t.test('options of the command that was named', async t => {
  t.same(await complete(['capture', '--ver']), ['--verdict']);
  t.same(
    await complete(['capture', '-w', '--ver', '--ver']),
    ['--verdict'],
    'a value may look like an option',
  );
  t.same(await complete(['capture', '--', '--ver']), [], 'not behind --');
});

t.test('values: choices, several by commas, and those of the agent whose socket was named', async t => {
  t.same(await complete(['flows', '--by', 'p']), ['peer']);
  t.same(await complete(['flows', '--by=p']), ['--by=peer']);
  t.same(await complete(['capture', '--peer', 'node']), ['node1', 'node2']);
  t.same(await complete(['capture', '--peer', 'node1,o']), ['node1,other']);
  asked.length = 0;
  await complete(['capture', '--socket', '/x/agent.sock', '--peer', '']);
  await complete(['capture', '--socket=/y/agent.sock', '--peer=']);
  t.same(asked, ['--peer /x/agent.sock', '--peer /y/agent.sock']);
  t.same(await complete(['capture', '--write', '']), [], 'files are for the shell');
});

t.test('an optional value of an option, and an argument with choices', async t => {
  const program = new Command('x');
  program.addOption(new Option('--may [value]', 'm')).command('go');
  t.same(await complete(['--may', 'g'], program), ['go'], 'the word behind it is no value of it');
  t.same(await complete(['completion', 'f']), ['fish']);
});
