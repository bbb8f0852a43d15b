#!/usr/bin/env node
/*
 * What the tests of docs/deploy want and no distribution has: helm, kustomize, the schemas of the Kubernetes API and those of
 * the Prometheus operator. `npm run cluster-tools` installs them into a cache folder by their names in the registries of Go,
 * PyPI and npm; the system and the checkout stay as they are. Compiling helm takes some minutes of a processor.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findCommand } from './apt.mjs';

const CACHE = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'ripstop', 'cluster-tools');

/** By name: the program that fetches it, its version, the file that shows that it is there, and how it is fetched. */
const TOOLS = {
  helm: goProgram('helm.sh/helm/v3/cmd/helm', '3.22.0', 'helm'),
  kustomize: goProgram('sigs.k8s.io/kustomize/kustomize/v5', '5.6.0', 'kustomize'),
  'kubernetes schemas': {
    fetcher: 'python3',
    folder: 'kubernetes-validate-1.37.0',
    file: 'kubernetes_validate/kubernetes-json-schema',
    fetch(folder) {
      const wanted = join(folder, 'requirements.txt');
      const hash = '85136d018a27b50ec7fc049d902bfa5193f5976807e6c0f408e3ab6fe078cad9';
      writeFileSync(wanted, `kubernetes-validate==1.37.0 --hash=sha256:${hash}\n`);
      const quiet = ['--quiet', '--disable-pip-version-check', '--root-user-action=ignore', '--no-compile'];
      const only = ['--no-deps', '--only-binary=:all:', '--require-hashes'];
      return [['-m', 'pip', 'install', ...quiet, ...only, '--target', folder, '--requirement', wanted], {}];
    },
  },
  'prometheus-operator schemas': {
    fetcher: 'npm',
    folder: 'prometheus-operator-6.0.0',
    file: 'node_modules/@kubernetes-models/prometheus-operator/index.js',
    fetch(folder) {
      const quiet = ['--no-audit', '--no-fund', '--loglevel=error', '--ignore-scripts', '--no-save'];
      return [['install', ...quiet, '--prefix', folder, '@kubernetes-models/prometheus-operator@6.0.0'], {}];
    },
  },
};

function goProgram(module, version, name) {
  return {
    fetcher: 'go',
    folder: `${name}-${version}`,
    file: name,
    fetch: folder => [
      ['install', `${module}@v${version}`],
      // One package at a time: others use the machine as well.
      { GOBIN: folder, GOFLAGS: '-p=1' },
    ],
  };
}

export const TOOL_NAMES = Object.keys(TOOLS);

/** Path of an installed tool, undefined where it is not installed. */
export function toolPath(name) {
  const path = join(CACHE, TOOLS[name].folder, TOOLS[name].file);
  return existsSync(path) ? path : undefined;
}

/** Installs a tool. @returns undefined, or why it was not installed */
function install(name) {
  const { fetcher, folder, fetch } = TOOLS[name];
  const command = findCommand(fetcher);
  if (command === undefined) return `${fetcher} is not on this machine`;
  mkdirSync(CACHE, { recursive: true });
  const draft = mkdtempSync(join(CACHE, `${folder}-fetch-`));
  try {
    const [args, env] = fetch(draft);
    const fetched = spawnSync('nice', [command, ...args], {
      env: { ...process.env, ...env },
      stdio: ['ignore', 2, 2],
    });
    if (fetched.status !== 0) return `${fetcher} ${args.join(' ')} failed`;
    try {
      renameSync(draft, join(CACHE, folder));
    } catch (error) {
      // Another process was faster.
      if (toolPath(name) === undefined) throw error;
    }
    return toolPath(name) === undefined ? `${fetcher} did not bring ${TOOLS[name].file}` : undefined;
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const name of TOOL_NAMES) {
    const problem = toolPath(name) === undefined ? install(name) : undefined;
    process.stdout.write(`${name}: ${problem ?? toolPath(name)}\n`);
    if (problem !== undefined) process.exitCode = 1;
  }
}
