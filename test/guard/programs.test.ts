import t from 'tap';
import { CHECKOUT } from '../../bench/lab/tool.ts';
import { LAB_PROGRAMS, requirePrograms } from '../../src/lab/programs.ts';
import { CAPABILITIES } from '../fixtures/skip-unless.ts';
import { needsIn, programsIn } from './checks/program-rules.ts';
import { type SourceFile, sourcesBelow } from './checks/sources.ts';

/* What the bench, the demo and the tests run is installed by the bootstrap for them, or is on every Debian. */

interface Need {
  readonly probe: string;
  readonly packages: readonly string[];
  readonly programs?: readonly string[];
}
interface Packages {
  readonly ESSENTIAL: readonly string[];
  readonly profiles: Readonly<Record<string, { required: Need[]; wanted: Need[] }>>;
}
const { ESSENTIAL, profiles } = (await import(`${CHECKOUT}.ci/packages.mjs`)) as Packages;

/** Commands that a profile leaves installed. @param which also the packages without which the set-up goes on */
const broughtBy = (profile: string, which: 'required' | 'all' = 'all') =>
  new Set([
    ...ESSENTIAL,
    ...[...profiles[profile]!.required, ...(which === 'all' ? profiles[profile]!.wanted : [])].flatMap(
      ({ programs = [] }) => programs,
    ),
  ]);

/** Commands that no package brings, and where they come from. */
const OTHERWISE: Readonly<Record<string, string>> = {
  git: 'the bench names the commit where there is one',
  npm: 'it comes with Node',
  'no-such-program': 'a test of its absence',
  go: 'npm run bench:rivals builds rivals where it is, and says so where it is not',
  kubectl: 'no Debian package: the test is skipped without it',
  pngquant: 'only for pictures of the documentation',
};

const cache = new Map<string, string[]>();
function programsOf({ path, text }: SourceFile): string[] {
  const known = cache.get(path) ?? programsIn(text);
  cache.set(path, known);
  return known;
}

/** Commands that `files` run without that they are in `brought`, with the file that runs them. */
const lacking = (files: readonly SourceFile[], brought: ReadonlySet<string>) =>
  files.flatMap(file => {
    const { path, text } = file;
    // A contender that is no part of the set-up says what it lacks.
    const asked = path.startsWith('dist/bench/contenders/') ? needsIn(text) : [];
    return programsOf(file)
      .filter(name => !brought.has(name) && !asked.includes(name) && OTHERWISE[name] === undefined)
      .map(name => `${path}: ${name}`);
  });

const compiled = (folder: string) => sourcesBelow(`dist/${folder}`, ['.js']);

t.test('each command that the bench runs is brought by its profile, or named as missing', async t => {
  const bench = compiled('bench');
  t.ok(new Set(bench.flatMap(programsOf)).size > 15);
  t.same(lacking(bench, broughtBy('bench')), []);
});

t.test(
  'each command of the demo is brought by its profile and checked before anything is set up',
  async t => {
    const demo = ['demo', 'lab'].flatMap(room => compiled(`bench/${room}`));
    const more = compiled('bench/contenders').filter(({ path }) => /(ripstop|kernel-vxlan)\.js$/.test(path));
    t.same(lacking([...demo, ...more], broughtBy('demo', 'required')), []);
    const checked = new Set([...LAB_PROGRAMS, ...ESSENTIAL, ...Object.keys(OTHERWISE)]);
    t.same(lacking([...demo, ...more], checked), []);
    const all = [...profiles.demo!.required].flatMap(({ programs = [] }) => programs);
    t.same(
      LAB_PROGRAMS.filter(name => !all.includes(name)),
      [],
    );
  },
);

t.test('each command that a test runs or asks for is brought by its profile', async t => {
  const tests = compiled('test').filter(({ path }) => !path.endsWith('guard/programs.test.js'));
  t.same(lacking(tests, broughtBy('test')), []);
  const known = new Set([...broughtBy('test'), ...CAPABILITIES, ...Object.keys(OTHERWISE)]);
  t.same(
    tests.flatMap(({ path, text }) =>
      needsIn(text)
        .filter(name => !name.startsWith('/') && !known.has(name))
        .map(name => `${path}: ${name}`),
    ),
    [],
  );
});

t.test('a missing command is named with its package before anything is set up', async t => {
  t.doesNotThrow(() => requirePrograms(['ip'], () => '/sbin/ip'));
  t.throws(() => requirePrograms(['ip', 'tc', 'ping'], name => (name === 'ip' ? '/sbin/ip' : undefined)), {
    code: 'ECOMMAND',
    message: 'not installed here: tc, ping',
    hint: 'apt-get install iproute2 iputils-ping',
  });
});

t.test('the check finds what is run', async t => {
  const found = (code: string) => programsIn(code);
  t.same(found("ns.attempt(['ping', '-c1', to]); must(['tc', 'qdisc']);"), ['ping', 'tc']);
  t.same(found("const echo = ['ping', '-c1']; ns.launch([...echo, to]); node.must(echo);"), ['ping']);
  t.same(found("launch([...['qemu-system-x86_64', '-m'], x]);"), ['qemu-system-x86_64']);
  t.same(found("attempt(['unshare', '--net', 'ip', 'link']);"), ['ip', 'unshare']);
  t.same(found("launch(['env', 'A=b', 'timeout', '3', 'x']);"), ['env', 'timeout']);
  t.same(found("execFileSync('openssl', ['req']); spawn(file, ['x']);"), ['openssl']);
  t.same(found("launch([process.execPath, 'x']); launch([tool('a'), 'b']); f(['nft']);"), []);
  t.same(needsIn("const skip = skipUnless('root', 'nft') || skipUnless('etcd'); needs('pkg', 'fastd')();"), [
    ...['etcd', 'fastd', 'nft', 'pkg', 'root'],
  ]);
});
