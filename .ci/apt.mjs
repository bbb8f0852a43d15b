import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fetchStaticBusybox, findStaticBusybox } from './busybox.mjs';

const POLICY = '/usr/sbin/policy-rc.d';
const SEARCH = [
  ...(process.env.PATH ?? '').split(delimiter),
  '/usr/sbin',
  '/sbin',
  '/usr/local/sbin',
  '/usr/bin',
  '/bin',
];

/** The path of a command, also of those that an ordinary user's PATH leaves out; undefined when there is none. */
export function findCommand(name) {
  for (const folder of SEARCH) {
    const file = join(folder, name);
    try {
      accessSync(file, constants.X_OK);
      return file;
    } catch {
      // not in this folder
    }
  }
  return undefined;
}

/** True when a file matches `pattern`, in which `*` stands for any part of one path component. */
function matches(pattern) {
  let found = ['/'];
  for (const part of pattern.split('/').filter(Boolean)) {
    if (!part.includes('*')) {
      found = found.map(folder => join(folder, part)).filter(existsSync);
      continue;
    }
    const wanted = new RegExp(`^${part.replace(/[.+]/g, '\\$&').replaceAll('*', '.*')}$`);
    found = found.flatMap(folder =>
      list(folder)
        .filter(name => wanted.test(name))
        .map(name => join(folder, name)),
    );
  }
  return found.length > 0;
}

function list(folder) {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function present(need) {
  if (need.present === 'static busybox') return findStaticBusybox() !== undefined;
  const there = probe => (probe.startsWith('/') ? matches(probe) : findCommand(probe) !== undefined);
  return there(need.probe) || (need.instead !== undefined && there(need.instead));
}

/** The needs of `needs` that this machine does not meet and that may be installed on it. */
export function missing(needs) {
  return needs.filter(need => !present(need) && !(need.notWhere && existsSync(need.notWhere)));
}

function apt(args) {
  // stdin is closed and debconf answers itself: the set-up also runs where nobody can type.
  return spawnSync('apt-get', ['-q', '-y', '-o', 'Dpkg::Use-Pty=0', ...args], {
    stdio: ['ignore', 2, 2],
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', NEEDRESTART_MODE: 'l' },
  }).status;
}

function offered(name) {
  const answer = spawnSync('apt-cache', ['policy', name], { encoding: 'utf8' });
  return answer.status === 0 && /Candidate: (?!\(none\))/.test(answer.stdout);
}

/**
 * Installs what brings `needs`, without starting the daemons that come along (etcd, containerd).
 * @returns true when apt-get succeeded for all that it knows
 */
export function install(needs, say) {
  say(`apt-get update (missing here: ${needs.map(need => need.packages[0]).join(' ')})`);
  if (apt(['update']) !== 0) say('apt-get update failed; trying with the lists that are there');
  const unpacked = needs.filter(need => need.present === 'static busybox' && findCommand(need.probe));
  for (const _ of unpacked) {
    say('the installed busybox is not static: unpacking busybox-static beside it');
    const problem = fetchStaticBusybox();
    if (problem !== undefined) say(problem);
  }
  const rest = needs.filter(need => !unpacked.includes(need));
  const names = rest.map(need => need.packages.find(offered)).filter(Boolean);
  if (names.length === 0) return rest.length === 0;
  const quiet = !existsSync(POLICY);
  if (quiet) writeFileSync(POLICY, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  try {
    say(`apt-get install ${names.join(' ')}`);
    return apt(['install', '--no-install-recommends', ...new Set(names)]) === 0;
  } finally {
    if (quiet) rmSync(POLICY, { force: true });
  }
}

/** Why apt cannot be used here, or undefined when it can. */
export function aptObstacle() {
  if (findCommand('apt-get') === undefined) return 'this system has no apt-get';
  if (process.getuid?.() !== 0) return 'installing packages takes root';
  return undefined;
}
