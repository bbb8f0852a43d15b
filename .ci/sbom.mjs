#!/usr/bin/env node
/*
 * Lists what a production installation holds (SBOM), from package-lock.json alone: `npm run sbom` writes
 * dist/release/sbom.cdx.json (CycloneDX) and dist/release/sbom.spdx.json (SPDX).
 *
 * `npm sbom --omit=dev` of npm 11 also omits production packages that a development package depends on as well (`yaml`,
 * which tap uses). Therefore npm gets the manifests without development packages, and nothing to omit.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const folder = join(root, 'dist/release');
const FORMATS = { cyclonedx: 'sbom.cdx.json', spdx: 'sbom.spdx.json' };
const UNWANTED = ['devDependencies', 'peerDependencies', 'peerDependenciesMeta'];

/** A manifest without what a production installation does not install. */
function productionOnly(manifest) {
  return Object.fromEntries(Object.entries(manifest).filter(([key]) => !UNWANTED.includes(key)));
}

/** Writes package.json and package-lock.json of a production installation. */
function writeManifests(to) {
  const read = name => JSON.parse(readFileSync(join(root, name), 'utf8'));
  const lock = read('package-lock.json');
  const entries = Object.entries(lock.packages).filter(([, { dev, peer, devOptional }]) => {
    return !dev && !peer && !devOptional;
  });
  lock.packages = { ...Object.fromEntries(entries), '': productionOnly(lock.packages['']) };
  writeFileSync(join(to, 'package.json'), JSON.stringify(productionOnly(read('package.json'))));
  writeFileSync(join(to, 'package-lock.json'), JSON.stringify(lock));
}

function list(format, cwd) {
  const args = ['sbom', `--sbom-format=${format}`, '--package-lock-only'];
  const made = spawnSync('npm', args, { cwd, encoding: 'utf8', maxBuffer: 64 << 20 });
  if (!made.error && made.status === 0) return made.stdout;
  throw new Error(`npm ${args.join(' ')}: ${made.error?.message ?? made.stderr}`);
}

const scratch = mkdtempSync(join(tmpdir(), 'ripstop-sbom-'));
try {
  // CycloneDX takes the name of the folder for that of the product.
  const product = join(scratch, 'ripstop');
  mkdirSync(product);
  writeManifests(product);
  mkdirSync(folder, { recursive: true });
  for (const [format, name] of Object.entries(FORMATS)) {
    writeFileSync(join(folder, name), list(format, product));
    process.stderr.write(`sbom: wrote dist/release/${name}\n`);
  }
} catch (error) {
  process.stderr.write(`sbom: ${error.message}\n`);
  process.exitCode = 1;
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
