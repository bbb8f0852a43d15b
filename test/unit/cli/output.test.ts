import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, openSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import t from 'tap';
import { parse, parseAllDocuments } from 'yaml';
import { printableJson } from '../../../src/base/text/printable.ts';
import { objectText, rowText } from '../../../src/cli/json/print.ts';
import { addOutput, type OutputOptions } from '../../../src/cli/options.ts';
import { readOutput } from '../../fixtures/json-output.ts';

const MAIN = fileURLToPath(new URL('../../../src/cli/main.js', import.meta.url));

/** Runs a command whose output no process reads, or whose output goes to a file descriptor. */
async function run(words: readonly string[], stdout: 'pipe' | number) {
  const child = spawn(process.execPath, [MAIN, ...words], { stdio: ['ignore', stdout, 'pipe'] });
  child.stdout?.destroy();
  const [[code], stderr] = await Promise.all([once(child, 'close'), text(child.stderr!)]);
  return { code, stderr };
}

t.test('a closed pipe ends a command without an error', async t => {
  for (const words of [['explain'], ['--help']])
    t.strictSame(await run(words, 'pipe'), { code: 0, stderr: '' }, words.join(' '));
});

t.test('output that cannot be written is an error of one line', async t => {
  t.match(await run(['explain'], openSync('/dev/full', 'w')), {
    code: 1,
    stderr: /^ripstop: standard output: ENOSPC.*\n$/,
  });
});

t.test('commands that need no addon: they run where it does not load', async t => {
  for (const words of [['--version'], ['--help'], ['explain', 'ELAYOUT']]) {
    const env = { ...process.env, RIPSTOP_NATIVE: 'none' };
    const child = spawn(process.execPath, [MAIN, ...words], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    const [[code], stdout] = await Promise.all([once(child, 'close'), text(child.stdout)]);
    t.equal(code, 0, words.join(' '));
    t.not(stdout, '');
  }
});

t.test('explain --json, one name or all, has its published schema', async t => {
  const explain = async (...names: string[]) => {
    const child = spawn(process.execPath, [MAIN, 'explain', '--json', ...names], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    return readOutput('ripstop-explain/1', await text(child.stdout)).explanations;
  };
  t.match(await explain('EINUSE'), [{ name: 'EINUSE', kind: 'error code' }]);
  t.ok((await explain()).length > 50);
});

t.test('-o yaml, one object or a row of them, has the values of -o json', async t => {
  const steps = ['on', 'No', '1:20', '02:00:00:00:00:01', '0x1f', '1e3', '~', '', ' a ', '# b', '- c', '{d'];
  const texts = [...steps, 'e: f', 'two\nlines', '\u001b]0;x\u0007\u009b31m\u202e', 'x'.repeat(300)];
  const value = { steps: texts };
  const [json, yaml] = await Promise.all(
    (['json', 'yaml'] as const).map(output => objectText(output, 'ripstop-plan/1', value)),
  );
  t.same(readOutput('ripstop-plan/1', json!).steps, texts);
  for (const version of ['1.1', '1.2'] as const)
    t.same(parse(yaml!, { version }), JSON.parse(json!), `read as YAML ${version}`);
  for (const text of [json!, yaml!]) t.equal(printableJson(text), text, 'no character that a terminal obeys');
  const rows = await Promise.all([1, 2].map(() => rowText('yaml', 'ripstop-plan/1', value)));
  t.same(
    parseAllDocuments(rows.join('')).map(document => document.toJS()),
    [JSON.parse(json!), JSON.parse(json!)],
  );
});

t.test('-o, in each of its forms, chooses the format; another one is an error', async t => {
  const outputOf = (...words: string[]) =>
    addOutput(new Command().exitOverride().configureOutput({ writeErr: () => {} }))
      .parse(words, { from: 'user' })
      .opts<OutputOptions>().output;
  for (const words of [['-j'], ['--json'], ['-ojson'], ['-o=json'], ['--output', 'json']])
    t.equal(outputOf(...words), 'json', words.join(' '));
  for (const words of [['-o', 'yaml'], ['-oyaml'], ['-o=yaml'], ['--output=yaml']])
    t.equal(outputOf(...words), 'yaml', words.join(' '));
  t.equal(outputOf(), undefined);
  t.throws(() => outputOf('-o', 'wide'), /Allowed choices are json, yaml/);
});

t.test('a closed pipe keeps the exit status that the command has set', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'rs-out-'));
  const socket = join(folder, 's');
  const finding = { severity: 'fault', kind: 'drops', what: 'x'.repeat(1 << 20), remedy: 'x' };
  const agent = createServer((_request, response) =>
    response.end(JSON.stringify({ findings: [finding], inOrder: [] })),
  );
  await new Promise<void>(resolve => agent.listen(socket, resolve));
  t.teardown(() => {
    agent.close();
    rmSync(folder, { recursive: true, force: true });
  });
  t.strictSame(await run(['doctor', '--socket', socket], 'pipe'), { code: 1, stderr: '' });
});
