import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { isTemp, removeWhole, writeAtomic } from '../../state/atomic-file.ts';
import type { LinkTuning } from './config.ts';

/** The former values of one attachment, as the reference plugin keeps them, and the network that they belong to. */
interface Saved extends LinkTuning {
  network?: string;
  containerId?: string;
  ifname?: string;
}

function fileOf(dataDir: string, containerId: string, ifname: string): string {
  return `${dataDir}/${containerId}_${ifname}.json`;
}

/** @throws CniError 5 */
export function saveOriginals(
  dataDir: string,
  network: string,
  containerId: string,
  ifname: string,
  values: LinkTuning,
) {
  const saved: Saved = { ...values, network, containerId, ifname };
  writeAtomic(fileOf(dataDir, containerId, ifname), JSON.stringify(saved), 0o600);
}

/** What was saved; undefined when nothing was, or it cannot be read. */
export function readOriginals(dataDir: string, containerId: string, ifname: string): LinkTuning | undefined {
  return read(fileOf(dataDir, containerId, ifname));
}

function read(file: string): Saved | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Saved;
  } catch {
    return undefined;
  }
}

export function removeOriginals(dataDir: string, containerId: string, ifname: string): void {
  removeWhole(fileOf(dataDir, containerId, ifname));
}

/** Removes the files of a network whose attachment `alive` denies. Files of other networks and makers stay. */
export function gcOriginals(
  dataDir: string,
  network: string,
  alive: (containerId: string, ifname: string) => boolean,
): void {
  let names: string[];
  try {
    names = readdirSync(dataDir);
  } catch {
    return;
  }
  for (const name of names) {
    const saved = isTemp(name) ? undefined : read(`${dataDir}/${name}`);
    if (saved?.network !== network || saved.containerId === undefined || saved.ifname === undefined) continue;
    if (!alive(saved.containerId, saved.ifname)) rmSync(`${dataDir}/${name}`, { force: true });
  }
}
