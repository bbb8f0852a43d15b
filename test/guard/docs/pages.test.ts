import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import t from 'tap';
import { withFigures, withFormer } from '../../../bench/publish.ts';
import { plotOf } from '../../../bench/report/readme.ts';
import { FLAGS } from '../../../src/agent/config/flag-table.ts';
import { VERDICTS } from '../../../src/dataplane/descriptor/verdicts.ts';
import { deadLinks, deadPaths, missingCommands, missingScripts, otherMeanings } from '../checks/pages.ts';
import { ROOT, type SourceFile, sourcesBelow } from '../checks/sources.ts';

const read = (path: string): SourceFile => ({ path, text: readFileSync(join(ROOT, path), 'utf8') });
const pages = [
  ...readdirSync(ROOT)
    .filter(name => name.endsWith('.md'))
    .map(read),
  ...['docs', 'bench/results', '.github'].flatMap(folder => sourcesBelow(folder, ['.md'])),
];

/** The whole command line: each file of a command exports one function `add...`, which declares it. */
async function commandLine(): Promise<Command> {
  const program = new Command('ripstop');
  for (const { path, text } of sourcesBelow('dist/src/cli/commands', ['.js'])) {
    if (!/^export function add[A-Z]/m.test(text)) continue;
    const module = (await import(join(ROOT, path))) as Record<string, unknown>;
    for (const [name, add] of Object.entries(module))
      if (name.startsWith('add')) (add as (program: Command) => void)(program);
  }
  return program;
}

t.test('links of a page lead to a file and to a heading', async t => {
  const textOf = (path: string) => {
    const full = join(ROOT, path);
    if (!existsSync(full)) return undefined;
    return statSync(full).isFile() && path.endsWith('.md') ? readFileSync(full, 'utf8') : '';
  };
  t.ok(pages.length > 70, `${pages.length} pages`);
  t.same(
    pages.flatMap(page => deadLinks(page, textOf)),
    [],
  );
  const text =
    '[a](b.md) [c](d.md#e-f) [g](d.md#h) [i](https://j) [k](#l) `[m](n.md)`\n```\n[o](p.md)\n```\n## L\n';
  t.same(
    deadLinks({ path: 'docs/x.md', text }, path => (path === 'docs/d.md' ? '## E, f\n' : undefined)),
    ['docs/x.md: b.md', 'docs/x.md: d.md#h'],
  );
});

t.test('paths of the repository in inline code lead to a file or a folder', async t => {
  // This page lists paths of before.
  const present = pages.filter(({ path }) => path !== 'docs/guides/develop/paths.md');
  t.same(
    present.flatMap(page => deadPaths(page, path => existsSync(join(ROOT, path)))),
    [],
  );
  const text = '`src/a` `src/b.ts` `test/c` `src/*` `npm test -- src/d`\n```\nsrc/e\n```\n';
  const there = ['src/a', 'test/c.test.ts'];
  t.same(
    deadPaths({ path: 'x.md', text }, path => there.includes(path)),
    ['x.md: src/b.ts'],
  );
});

t.test('quoted output has the present meaning of a verdict', async t => {
  t.same(
    pages.flatMap(page => otherMeanings(page, VERDICTS)),
    [],
  );
  const verdicts = [
    { name: 'runt', drop: true, meaning: 'too short' },
    { name: 'forward', drop: false, meaning: 'forwarded' },
  ];
  const quote = (...lines: string[]) => ({ path: 'x.md', text: ['```', ...lines, '```', ''].join('\n') });
  const good = [
    '1 runt (too short) (3)',
    'dropped: runt, too short',
    '  forward (ed)',
    'runt  ingress a > b',
    '  too short',
  ];
  t.same(otherMeanings(quote(...good), verdicts), []);
  t.same(otherMeanings(quote('1 runt (short)', 'runt  ingress a > b', '  small'), verdicts), [
    'x.md: runt, short)',
    'x.md: runt, small',
  ]);
});

t.test('commands of a page exist: npm scripts, commands of Ripstop and their options', async t => {
  const { scripts } = JSON.parse(read('package.json').text) as { scripts: Record<string, string> };
  const program = await commandLine();
  t.ok(program.commands.length > 12);
  const flags = FLAGS.map(({ name }) => `--${name}`);
  const further = { agent: flags, plan: flags, run: [...flags, '--check'] };
  t.same(
    pages.flatMap(page => [
      ...missingScripts(page, Object.keys(scripts)),
      ...missingCommands(page, program, further),
    ]),
    [],
  );
  const page = (text: string) => ({ path: 'x.md', text });
  t.same(missingScripts(page('`npm run nothing`'), ['test']), ['x.md: npm run nothing']);
  t.same(missingScripts(page('```sh\nnpm test -- a\n```\n'), ['test']), []);
  t.same(missingCommands(page('`ripstop nothing`'), program), ['x.md: ripstop nothing']);
  t.same(missingCommands(page('```\n$ ripstop status --nothing\n```\n'), program), [
    'x.md: ripstop status --nothing',
  ]);
  t.same(missingCommands(page('`ripstop cni install --force`'), program), []);
});

t.test('README and results: the figures of the last full run, the former reports', async t => {
  const report = read('bench/results/benchmarks.md').text;
  const names = readdirSync(join(ROOT, 'bench/results'));
  const wanted = {
    'docs/images/figures.svg': plotOf(report),
    'README.md': withFigures(read('README.md').text, report),
    'bench/results/README.md': withFormer(read('bench/results/README.md').text, names),
  };
  if (process.env.UPDATE_DOCS === '1')
    for (const [path, text] of Object.entries(wanted)) writeFileSync(join(ROOT, path), text);
  for (const [path, text] of Object.entries(wanted))
    t.equal(read(path).text, text, 'UPDATE_DOCS=1 node dist/test/guard/docs/pages.test.js writes it');
});

t.test('README: two screens', async t => {
  const lines = read('README.md').text.split('\n');
  t.ok(lines.length <= 110, `${lines.length} lines`);
});
