import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { CHECKOUT } from '../../../../bench/lab/tool.ts';
import { SCRIPTS, type Shell } from '../../../../src/cli/commands/completion/scripts.ts';
import { skipUnless } from '../../../fixtures/skip-unless.ts';

const folder = mkdtempSync(join(tmpdir(), 'rs-completion-'));
t.teardown(() => rmSync(folder, { recursive: true }));
symlinkSync(`${CHECKOUT}dist/src/cli/main.js`, join(folder, 'ripstop'));
for (const [shell, script] of Object.entries(SCRIPTS)) writeFileSync(join(folder, shell), script);

/** What a shell offers for a command line, one candidate per line. */
function offered(argv: readonly string[]): string[] {
  const [shell = '', ...args] = argv;
  const { stdout, stderr } = spawnSync(shell, args, {
    encoding: 'utf8',
    env: { PATH: `${folder}:${process.env.PATH}`, HOME: folder },
  });
  t.equal(stderr, '');
  return stdout.split('\n').filter(Boolean);
}

/** A line in quotes of a shell. */
const quoted = (words: readonly string[]) => words.map(word => `'${word}'`).join(' ');

const SHELL_RUNS: Readonly<Record<Shell, (words: readonly string[]) => string[]>> = {
  bash: words =>
    offered([
      ...['bash', '--norc', '-c'],
      `source ${folder}/bash; COMP_WORDS=(${quoted(words)}); COMP_CWORD=$((\${#COMP_WORDS[@]} - 1)); _ripstop; printf '%s\\n' "\${COMPREPLY[@]}"`,
    ]),
  zsh: words =>
    offered([
      ...['zsh', '-f', '-c'],
      `compdef() { }; _describe() { print -l -- "\${(@P)2}" }; _files() { print files }; source ${folder}/zsh; words=(${quoted(words)}); CURRENT=\${#words}; _ripstop`,
    ]),
  fish: words =>
    offered(['fish', '--no-config', '-c', `source ${folder}/fish; complete -C '${words.join(' ')}'`]),
};

for (const shell of Object.keys(SCRIPTS) as Shell[])
  t.test(`${shell}: commands, options and values are offered`, { skip: skipUnless(shell) }, async t => {
    const offer = SHELL_RUNS[shell];
    t.match(offer(['ripstop', 'cap'])[0], /^capture/);
    t.match(offer(['ripstop', 'capture', '--verd'])[0], /^--verdict/);
    t.match(offer(['ripstop', 'explain', 'port-f'])[0], /^port-filtered/);
    t.match(offer(['ripstop', 'capture', '-p', 'drop,egress-o'])[0], /^drop,egress-outer/);
  });

t.test('bash: a word that it splits at = is completed behind it', { skip: skipUnless('bash') }, async t => {
  t.same(SHELL_RUNS.bash(['ripstop', 'flows', '--by', '=', 'pe']), ['peer']);
  t.same(SHELL_RUNS.bash(['ripstop', 'flows', '--by', '=']), ['flow', 'peer']);
});
