import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import {
  closureFaults,
  type LockFile,
  type Manifest,
  PACKAGES_MAX,
  peerFaults,
  productionPackages,
} from './checks/dependency-rules.ts';
import { ROOT } from './checks/sources.ts';

function read(path: string): string | undefined {
  try {
    return readFileSync(join(ROOT, path), 'utf8');
  } catch {
    return undefined;
  }
}

const lock = JSON.parse(read('package-lock.json')!) as LockFile;
const manifest = JSON.parse(read('package.json')!) as Manifest;

t.test('an installation has few packages, and none downloads or compiles anything', async t => {
  const paths = productionPackages(lock);
  t.comment(`${paths.length} production packages`);
  t.ok(paths.includes('node_modules/commander'), 'they are counted');
  t.ok(
    paths.every(path => read(`${path}/package.json`) !== undefined),
    'and looked into',
  );
  t.same(closureFaults(lock, read), []);
});

t.test('packages that compile are optional peers, and tested here', async t => {
  t.same(peerFaults(manifest), []);
});

t.test('the checks find what they look for', async t => {
  const protobufjs = { 'node_modules/protobufjs': { hasInstallScript: true } };
  const faults = (packages: LockFile['packages'], files: Record<string, string> = {}) =>
    closureFaults({ packages: { '': {}, ...protobufjs, ...packages } }, path =>
      path.startsWith('node_modules/protobufjs/') ? read(path) : files[path],
    );
  t.same(faults({}), []);
  t.same(faults({ 'node_modules/a': { hasInstallScript: true, dev: true } }), [], 'development packages may');
  t.match(faults({ 'node_modules/a': { hasInstallScript: true } }), [/^a has an install script/]);
  t.match(
    faults(
      { 'node_modules/b/node_modules/@x/a': {} },
      { 'node_modules/b/node_modules/@x/a/binding.gyp': '' },
    ),
    [/^@x\/a has a binding\.gyp/],
  );
  const scripts = JSON.stringify({ scripts: { test: 'x', preinstall: 'x' } });
  t.match(faults({ 'node_modules/a': {} }, { 'node_modules/a/package.json': scripts }), [/\(preinstall\)/]);
  const many = Array.from({ length: PACKAGES_MAX }, (_, i) => [`node_modules/p${i}`, {}]);
  t.match(faults(Object.fromEntries(many)), [/^61 packages, 60 at most/]);
  t.match(
    closureFaults({ packages: protobufjs }, path => (path.endsWith('.js') ? 'another text' : undefined)),
    [/^protobufjs has an install script/],
  );
  t.match(closureFaults({ packages: {} }, read), [/^protobufjs no longer has/]);

  const peers = manifest.peerDependencies!;
  const without = { ...manifest, peerDependencies: {}, peerDependenciesMeta: {} };
  t.match(peerFaults(without), [/node-tuntap2-wintun is not a peer/, /^raw-socket is not a peer/]);
  t.match(peerFaults({ ...without, dependencies: peers }), [/is a dependency$/, /is a dependency$/]);
  t.match(peerFaults({ ...manifest, peerDependenciesMeta: {} }), [/npm installs by itself/, /by itself/]);
  t.match(peerFaults({ ...manifest, optionalDependencies: { a: '1' } }), [/^a is optional/]);
  const ranged = { ...manifest, devDependencies: { ...manifest.devDependencies, 'raw-socket': '1' } };
  t.match(peerFaults(ranged), [/^raw-socket is tested in another range/]);
});
