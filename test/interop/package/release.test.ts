import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t from 'tap';
import { CHECKOUT } from '../../../bench/lab/tool.ts';
import { must } from '../../../src/lab/command.ts';
import { directoryFor, finished } from '../../fixtures/package.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/*
 * The command that prepares a version, in a clone of this checkout: dry run, release, and what it refuses. The guard tests
 * that it runs first are replaced by a script that passes or fails at once.
 */

const skip = skipUnless('git', 'npm', `${CHECKOUT}.git`);
const DATE = '2026-12-01';
/** Files that the command reads; those of the working tree are tested, committed or not. */
const OWN = [
  ...['package.json', 'package-lock.json', 'CHANGELOG.md', 'README.md', '.ci/release.mjs', '.gitignore'],
  ...[
    'docs/guides/operate/migration.md',
    'docs/deploy/Dockerfile',
    'docs/deploy/kustomize/base/kube-ripstop.yml',
  ],
  'docs/deploy/kustomize/base/kube-ripstop-cleanup.yml',
  'docs/deploy/helm/Chart.yaml',
];

const read = (root: string, path: string) => readFileSync(join(root, path), 'utf8');
const versionOf = (root: string): string => JSON.parse(read(root, 'package.json')).version;

class Clone {
  readonly root: string;

  constructor(folder: string) {
    this.root = join(folder, 'clone');
    must(['git', 'clone', '--quiet', '--depth=1', `file://${CHECKOUT}`, this.root]);
    for (const path of OWN) {
      mkdirSync(dirname(join(this.root, path)), { recursive: true });
      cpSync(join(CHECKOUT, path), join(this.root, path));
    }
    this.git('config', 'user.name', 'test');
    this.git('config', 'user.email', 'test@example.com');
    this.guard('node -e ""');
  }

  git(...args: string[]): string {
    return must(['git', '-C', this.root, ...args]).trim();
  }

  /** Replaces the guard tests by a command. */
  guard(command: string): void {
    const manifest = JSON.parse(read(this.root, 'package.json'));
    manifest.scripts.guard = command;
    this.commit('package.json', `${JSON.stringify(manifest, null, 2)}\n`);
  }

  commit(path: string, text: string): void {
    writeFileSync(join(this.root, path), text);
    this.git('add', '--all');
    this.git('commit', '--quiet', '--message=change');
  }

  async run(...args: string[]): Promise<{ code: number; text: string }> {
    const script = join(this.root, '.ci/release.mjs');
    const { code, stdout, stderr } = await finished([process.execPath, script, ...args]);
    return { code, text: stdout + stderr };
  }

  state(): string[] {
    return [this.git('rev-parse', 'HEAD'), this.git('status', '--porcelain'), this.git('tag', '--list')];
  }
}

function following(version: string): string {
  const [major, minor] = version.split('.').map(Number);
  return `${major}.${minor! + 1}.0`;
}

t.test('every place that names the image has the version of package.json', async t => {
  const version = versionOf(CHECKOUT);
  for (const path of OWN.filter(path => /^(README|docs)/.test(path))) {
    const named = [
      ...read(CHECKOUT, path).matchAll(
        /\bripstop:(\d[\w.]*)|^(?:ARG VERSION=|version: |appVersion: ")([\d.]+)/gm,
      ),
    ];
    t.ok(named.length > 0, path);
    t.same(
      named.map(match => match[1] ?? match[2]).filter(other => other !== version),
      [],
      path,
    );
  }
});

t.test('a version', { skip }, async t => {
  const clone = new Clone(directoryFor(t));
  const current = versionOf(clone.root);
  const next = following(current);
  const before = clone.state();

  t.test('that is tried out says what would change, and changes nothing', async t => {
    const { code, text } = await clone.run(next, '--dry-run', `--date=${DATE}`);
    t.equal(code, 0, text);
    for (const line of [
      `+   "version": "${next}",`,
      `+ ## [${next}] - ${DATE}`,
      `+ ARG VERSION=${next}`,
      'nothing is changed',
    ])
      t.ok(text.includes(line), line);
    t.same(clone.state(), before);
  });

  t.test('is refused where something is not as it must be', async t => {
    const refused = async (version: string, why: RegExp) => {
      const { code, text } = await clone.run(version);
      t.equal(code, 1);
      t.match(text, why);
    };
    await refused(current, /does not follow/);
    await refused('0.0.9', /does not follow/);
    await refused('1.0', /is not a version/);
    t.match((await clone.run()).text, /the new version is missing/);
    writeFileSync(join(clone.root, 'stray.txt'), '');
    await refused(next, /working tree has changes:\n\?\? stray\.txt/);
    clone.git('clean', '--quiet', '--force');
    clone.guard('node -e "process.exit(1)"');
    await refused(next, /guard tests fail/);
    clone.guard('node -e ""');
    clone.git('tag', `v${next}`);
    await refused(next, /the tag v[\d.]+ exists/);
    clone.git('tag', '--delete', `v${next}`);
    t.same(clone.state().slice(1), before.slice(1));
  });

  t.test('that is made has a commit, a tag and its part of the changelog', async t => {
    const changes = read(clone.root, 'CHANGELOG.md').split('## [Unreleased]')[1]!.split('\n[')[0]!.trim();
    const { code, text } = await clone.run(next, `--date=${DATE}`);
    t.equal(code, 0, text);
    t.equal(clone.git('status', '--porcelain'), '');
    t.equal(clone.git('log', '-1', '--format=%s'), `release: ${next}`);
    t.equal(clone.git('rev-parse', `v${next}^{commit}`), clone.git('rev-parse', 'HEAD'));
    t.equal(versionOf(clone.root), next);
    const lock = JSON.parse(read(clone.root, 'package-lock.json'));
    t.same([lock.version, lock.packages[''].version], [next, next]);
    const changelog = read(clone.root, 'CHANGELOG.md');
    t.match(changelog, `## [Unreleased]\n\n## [${next}] - ${DATE}\n`);
    t.match(changelog, new RegExp(`^\\[Unreleased\\]: \\S+/compare/v${next}\\.\\.\\.HEAD$`, 'm'));
    t.match(changelog, new RegExp(`^\\[${next}\\]: \\S+/releases/tag/v${next}$`, 'm'));
    for (const path of OWN.filter(path => /^(README|docs)/.test(path)))
      t.notMatch(read(clone.root, path), `ripstop:${current}`, path);

    t.equal((await clone.run('--notes')).code, 0);
    t.equal(read(clone.root, 'dist/release/notes.md').trim(), changes);
    t.match((await clone.run(following(next))).text, /nothing below "## \[Unreleased\]"/);
  });

  t.test('is published only complete, and only under its own tag', async t => {
    const verify = (tag?: string) => {
      const words = tag ? ['GITHUB_REF_TYPE=tag', `GITHUB_REF_NAME=${tag}`] : ['-u', 'GITHUB_REF_TYPE'];
      const script = join(clone.root, '.ci/release.mjs');
      return finished(['env', ...words, process.execPath, script, '--verify']);
    };
    t.match(await verify(), { code: 1, stderr: /not built: .*prebuilds\/linux-arm64\/ripstop\.musl\.node/ });
    for (const platform of ['linux-x64', 'linux-arm64'])
      for (const name of ['ripstop.glibc.node', 'ripstop.musl.node', 'cni-shim']) {
        mkdirSync(join(clone.root, 'prebuilds', platform), { recursive: true });
        writeFileSync(join(clone.root, 'prebuilds', platform, name), '');
      }
    t.match(await verify(), { code: 0, stdout: `ripstop ${next} can be published` });
    t.equal((await verify(`v${next}`)).code, 0);
    t.match(await verify('v9.9.9'), { code: 1, stderr: /the tag v9\.9\.9 is not/ });
  });
});

t.test('the lists of what is in it name the production packages and no others', { skip }, async t => {
  const made = await finished([process.execPath, join(CHECKOUT, '.ci/sbom.mjs')]);
  t.equal(made.code, 0, made.stderr);
  const list = (name: string) => JSON.parse(read(CHECKOUT, `dist/release/${name}`));
  const cyclonedx: string[] = list('sbom.cdx.json').components.map(({ name }: { name: string }) => name);
  const spdx: string[] = list('sbom.spdx.json').packages.map(({ name }: { name: string }) => name);
  const { packages } = JSON.parse(read(CHECKOUT, 'package-lock.json'));
  // `name` where a package is installed under another name.
  type Entry = { name?: string; dev?: boolean; peer?: boolean; devOptional?: boolean };
  const production = Object.entries(packages as Record<string, Entry>)
    .filter(([path, { dev, peer, devOptional }]) => path && !dev && !peer && !devOptional)
    .map(([path, { name }]) => name ?? path.replace(/^.*node_modules\//, ''));
  t.ok(production.includes('yaml'), 'also a package that development packages use as well');
  for (const names of [cyclonedx, spdx]) {
    t.same(
      production.filter(name => !names.includes(name)),
      [],
    );
    t.same(
      names.filter(name => name !== 'ripstop' && !production.includes(name)),
      [],
    );
  }
  t.equal(list('sbom.cdx.json').metadata.component.name, 'ripstop');
  t.equal(spdx.length, cyclonedx.length + 1, 'SPDX names the package itself as well');
});
