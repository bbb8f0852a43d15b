import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { RipstopError } from '../base/errors.ts';

/** An ordinary user's PATH lacks the folders of the administrator's commands. */
const SEARCH = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin', '/usr/local/sbin'];

/** Path of a command, or undefined when it is not installed. */
export function findProgram(name: string): string | undefined {
  return SEARCH.map(folder => join(folder, name)).find(file => {
    try {
      accessSync(file, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** The Debian packages of the commands that a lab of the demo or the bench runs. */
const PACKAGES: Readonly<Record<string, string>> = {
  ip: 'iproute2',
  tc: 'iproute2',
  bridge: 'iproute2',
  ping: 'iputils-ping',
  sysctl: 'procps',
  ethtool: 'ethtool',
  iperf3: 'iperf3',
  taskset: 'util-linux',
};

/** Commands without which no lab is measured; the profile `demo` of .ci/packages.mjs installs them. */
export const LAB_PROGRAMS: readonly string[] = Object.keys(PACKAGES);

/**
 * Checks before anything is set up that the commands of a lab are installed: a lab without ping would wait in vain for
 * an answer.
 * @throws RipstopError ECOMMAND that names all missing ones and their packages
 */
export function requirePrograms(names = LAB_PROGRAMS, find = findProgram): void {
  const missing = names.filter(name => find(name) === undefined);
  if (missing.length === 0) return;
  const packages = [...new Set(missing.map(name => PACKAGES[name] ?? name))];
  throw new RipstopError(
    'ECOMMAND',
    `not installed here: ${missing.join(', ')}`,
    `apt-get install ${packages.join(' ')}`,
  );
}
