#!/usr/bin/env node
/*
 * Prepares a version, and nothing leaves this machine:
 *   npm run release -- 0.2.0 --dry-run    checks everything and prints what would change
 *   npm run release -- 0.2.0              changes the files, commits them and sets the tag v0.2.0
 *   npm run release:notes                 writes the part of the changelog for the version to dist/release/notes.md
 *   node .ci/release.mjs --verify         what `npm publish` checks first: tag, changelog, prebuilt binaries
 * Pushing the tag starts .github/workflows/release.yml. Plain Node, no dependency.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const at = path => join(root, path);
const read = path => readFileSync(at(path), 'utf8');
const say = line => process.stdout.write(`${line}\n`);

/** Files that name the image with its version, as a person types it. */
const IMAGE_FILES = [
  'README.md',
  'docs/guides/operate/migration.md',
  'docs/deploy/Dockerfile',
  'docs/deploy/kustomize/base/kube-ripstop.yml',
  'docs/deploy/kustomize/base/kube-ripstop-cleanup.yml',
];
/** The chart has the version of the package, and its image by default. */
const CHART = 'docs/deploy/helm/Chart.yaml';
/** What a package without a compiler needs, per platform. */
const PREBUILT = ['ripstop.glibc.node', 'ripstop.musl.node', 'cni-shim'];
const PLATFORMS = ['linux-x64', 'linux-arm64'];
const UNRELEASED = '## [Unreleased]';

function fail(what, hint) {
  process.stderr.write(`release: ${what}${hint ? `\n  ${hint}` : ''}\n`);
  process.exit(1);
}

function git(...args) {
  const { status, stdout, stderr, error } = spawnSync('git', args, { cwd: root, encoding: 'utf8' });
  if (error || status !== 0) fail(`git ${args.join(' ')}: ${error?.message ?? stderr.trim()}`);
  return stdout.trim();
}

const partsOf = version => version.split('.').map(Number);

/** True if `a` is a later version than `b`. */
function isLater(a, b) {
  const [left, right] = [partsOf(a), partsOf(b)];
  const first = left.findIndex((part, i) => part !== right[i]);
  return first >= 0 && left[first] > right[first];
}

/** The text below the heading of a version in the changelog, undefined without one. */
function changesOf(changelog, heading) {
  const from = changelog.indexOf(`\n${heading}`);
  if (from < 0) return undefined;
  const body = changelog.slice(changelog.indexOf('\n', from + 1) + 1);
  const end = body.search(/^(## |\[[^\]]+\]: )/m);
  return (end < 0 ? body : body.slice(0, end)).trim();
}

/** Everything that must hold before a version is made. */
function check(version, current) {
  if (!/^\d+\.\d+\.\d+$/.test(version))
    fail(`"${version}" is not a version`, 'it takes three numbers, such as 0.2.0');
  if (!isLater(version, current)) fail(`${version} does not follow ${current}, the version of package.json`);
  const changed = git('status', '--porcelain');
  if (changed) fail(`the working tree has changes:\n${changed}`, 'commit or remove them first');
  if (git('tag', '--list', `v${version}`)) fail(`the tag v${version} exists`);
  const changelog = read('CHANGELOG.md');
  if (changesOf(changelog, `## [${version}]`) !== undefined) fail(`CHANGELOG.md has ${version} already`);
  if (!changesOf(changelog, UNRELEASED)) fail(`CHANGELOG.md has nothing below "${UNRELEASED}"`);
  say('checks: npm run guard');
  const guard = spawnSync('npm', ['run', 'guard'], { cwd: root, stdio: ['ignore', 2, 2] });
  if (guard.status !== 0) fail('the guard tests fail', 'npm run guard');
}

/** package.json or package-lock.json, whose first entry is the package itself. */
function withVersion(path, version) {
  const content = JSON.parse(read(path));
  content.version = version;
  if (content.packages) content.packages[''].version = version;
  return `${JSON.stringify(content, null, 2)}\n`;
}

function releasedChangelog(version, date, url) {
  const tag = name => `${url}/releases/tag/v${name}`;
  const compare = `[Unreleased]: ${url}/compare/v${version}...HEAD\n[${version}]: ${tag(version)}`;
  const text = read('CHANGELOG.md').replace(UNRELEASED, `${UNRELEASED}\n\n## [${version}] - ${date}`);
  const link = /^\[Unreleased\]: .*$/m;
  if (!link.test(text)) fail('CHANGELOG.md has no link for [Unreleased]', `it ends in ${compare}`);
  return text.replace(link, compare);
}

/** The new text of each file that names the version. */
function changes(version, current, date) {
  const { repository } = JSON.parse(read('package.json'));
  const url = repository.url.replace(/^git\+/, '').replace(/\.git$/, '');
  const texts = new Map([
    ['package.json', withVersion('package.json', version)],
    ['package-lock.json', withVersion('package-lock.json', version)],
    ['CHANGELOG.md', releasedChangelog(version, date, url)],
  ]);
  for (const path of IMAGE_FILES) {
    const text = read(path)
      .replaceAll(`ripstop:${current}`, `ripstop:${version}`)
      .replace(`ARG VERSION=${current}`, `ARG VERSION=${version}`);
    if (text === read(path)) fail(`${path} does not name the image ripstop:${current}`);
    texts.set(path, text);
  }
  texts.set(CHART, read(CHART).replace(/^(version: |appVersion: ")[\d.]+/gm, `$1${version}`));
  return texts;
}

/** Lines that are new in `after`, for a reader of the dry run. */
function newLines(before, after) {
  const known = new Set(before.split('\n'));
  return after.split('\n').filter(line => !known.has(line));
}

function release(version, { dryRun, date }) {
  const current = JSON.parse(read('package.json')).version;
  check(version, current);
  const texts = changes(version, current, date);
  for (const [path, text] of texts) {
    say(path);
    for (const line of newLines(read(path), text)) say(`  + ${line}`);
  }
  if (dryRun) {
    say(`dry run: nothing is changed. Without --dry-run: commit "release: ${version}" and tag v${version}`);
    return;
  }
  for (const [path, text] of texts) writeFileSync(at(path), text);
  git('commit', '--quiet', '-m', `release: ${version}`, '--', ...texts.keys());
  git('tag', '--annotate', `v${version}`, '-m', `Ripstop ${version}`);
  say(`made the commit and the tag v${version}; publish them with: git push --follow-tags`);
}

/** The notes of the version of package.json. */
function notes() {
  const { version } = JSON.parse(read('package.json'));
  const text = changesOf(read('CHANGELOG.md'), `## [${version}]`);
  if (!text) fail(`CHANGELOG.md has no section "## [${version}]"`, `npm run release -- VERSION writes it`);
  return { version, text };
}

function writeNotes() {
  mkdirSync(at('dist/release'), { recursive: true });
  writeFileSync(at('dist/release/notes.md'), `${notes().text}\n`);
  say('wrote dist/release/notes.md');
}

function verify() {
  const { version } = notes();
  // Set by the workflow; a person publishes without.
  const tag = process.env.GITHUB_REF_TYPE === 'tag' ? process.env.GITHUB_REF_NAME : undefined;
  if (tag !== undefined && tag !== `v${version}`) fail(`the tag ${tag} is not v${version} of package.json`);
  const missing = PLATFORMS.flatMap(platform => {
    const folder = at(`prebuilds/${platform}`);
    const present = existsSync(folder) ? readdirSync(folder) : [];
    return PREBUILT.filter(name => !present.includes(name)).map(name => `prebuilds/${platform}/${name}`);
  });
  if (missing.length > 0)
    fail(`not built: ${missing.join(', ')}`, 'npm run build:prebuilt builds all of them on one machine');
  say(`ripstop ${version} can be published`);
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    'dry-run': { type: 'boolean', default: false },
    date: { type: 'string', default: new Date().toISOString().slice(0, 10) },
    notes: { type: 'boolean', default: false },
    verify: { type: 'boolean', default: false },
  },
});
if (values.verify) verify();
else if (values.notes) writeNotes();
else if (positionals.length === 1) release(positionals[0], { dryRun: values['dry-run'], date: values.date });
else fail('the new version is missing', 'npm run release -- 0.2.0 --dry-run');
