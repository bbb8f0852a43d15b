import { listFiles, removeWithTemp, writeFileAtomicSync } from '../../../base/atomic-file.ts';
import { readRegularFile } from '../../../base/files/regular-file.ts';
import { parseJson, text } from '../../../base/schema.ts';
import { readIgnoringUnknown } from '../../config/ignore-unknown.ts';
import { type LinkTuning, linkFields } from './config.ts';

/** The original attributes of one attachment's interface as the reference plugin keeps them, and whose they are. */
const savedFields = {
  ...linkFields,
  network: text('a network name', 'network of the attachment'),
  containerId: text('a container id', 'container of the attachment'),
  ifname: text('an interface name', 'interface of the attachment'),
};

function fileOf(dataDir: string, containerId: string, ifname: string): string {
  return `${dataDir}/${containerId}_${ifname}.json`;
}

/** @throws errors of the file system */
export function saveOriginals(
  dataDir: string,
  network: string,
  containerId: string,
  ifname: string,
  values: LinkTuning,
) {
  const saved = { ...values, network, containerId, ifname };
  writeFileAtomicSync(fileOf(dataDir, containerId, ifname), JSON.stringify(saved), 0o600);
}

/** What was saved; undefined when nothing was, or it cannot be read. */
export function readOriginals(dataDir: string, containerId: string, ifname: string): LinkTuning | undefined {
  return read(fileOf(dataDir, containerId, ifname));
}

function read(file: string) {
  try {
    return readIgnoringUnknown(savedFields, parseJson(readRegularFile(file), file), file);
  } catch {
    return undefined;
  }
}

export function removeOriginals(dataDir: string, containerId: string, ifname: string): void {
  removeWithTemp(fileOf(dataDir, containerId, ifname));
}

/** Removes the files of a network whose attachment is not `valid`. Files of other networks and programs stay. */
export function gcOriginals(
  dataDir: string,
  network: string,
  isValid: (containerId: string, ifname: string) => boolean,
): void {
  for (const name of listFiles(dataDir)) {
    const saved = read(`${dataDir}/${name}`);
    if (saved?.network !== network || saved.containerId === undefined || saved.ifname === undefined) continue;
    if (!isValid(saved.containerId, saved.ifname)) removeWithTemp(`${dataDir}/${name}`);
  }
}
