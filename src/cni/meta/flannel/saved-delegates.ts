import { listFiles, removeTemp, removeWithTemp, writeFileAtomicSync } from '../../../base/atomic-file.ts';
import { fileSystemAnswers, readRegularFile } from '../../../base/files/regular-file.ts';
import { parseJson, text } from '../../../base/schema.ts';
import { anyObject, readIgnoringUnknown } from '../../config/ignore-unknown.ts';

type Json = Record<string, unknown>;

/** In addition to the delegate's keys: the interface of the file. The delegate ignores it, as it does other keys. */
const IFNAME = 'ripstop.ifname';

const savedFields = { [IFNAME]: text('an interface name', 'interface of the attachment') };
const configuration = anyObject('configuration of the delegate');

/** One attachment's delegate configuration on disk. `ifname` undefined: written by the flannel plugin. */
export interface Saved {
  file: string;
  containerId: string;
  ifname: string | undefined;
  delegate: Json;
}

/**
 * Configurations that were given to delegates, by attachment. The flannel plugin keys them by container alone, so the
 * second interface overwrites the first. Here the first attachment of a container has the file that the flannel
 * plugin would use (a node can switch either way), further ones a file of their own: `<container>:<interface>`.
 */
export class SavedDelegates {
  readonly #directory: string;

  private constructor(directory: string) {
    this.#directory = directory;
  }

  /** The records in a directory. @throws RipstopError EAGAIN when its file system does not answer */
  static async in(directory: string): Promise<SavedDelegates> {
    await fileSystemAnswers(directory);
    return new SavedDelegates(directory);
  }

  /** @throws errors of the file system */
  save(containerId: string, ifname: string, delegate: Json): void {
    const first = this.#read(containerId);
    const name = first && first.ifname !== ifname ? `${containerId}:${ifname}` : containerId;
    writeFileAtomicSync(
      `${this.#directory}/${name}`,
      JSON.stringify({ ...delegate, [IFNAME]: ifname }),
      0o600,
    );
  }

  /** What was saved for an attachment; undefined when there is none or it cannot be read. */
  find(containerId: string, ifname: string): Saved | undefined {
    const own = this.#read(`${containerId}:${ifname}`);
    if (own) return own;
    const first = this.#read(containerId);
    return first && (first.ifname === undefined || first.ifname === ifname) ? first : undefined;
  }

  list(): Saved[] {
    return listFiles(this.#directory).flatMap(name => this.#read(name) ?? []);
  }

  remove(saved: Saved): void {
    removeWithTemp(`${this.#directory}/${saved.file}`);
  }

  /** Removes what a crash left of a record that was not yet one. */
  removeTemps(containerId: string, ifname: string): void {
    for (const name of [containerId, `${containerId}:${ifname}`]) removeTemp(`${this.#directory}/${name}`);
  }

  #read(file: string): Saved | undefined {
    try {
      const saved = parseJson(readRegularFile(`${this.#directory}/${file}`), file);
      const { [IFNAME]: _, ...delegate } = configuration.read(saved, file);
      const { [IFNAME]: ifname } = readIgnoringUnknown(savedFields, saved, file);
      return { file, containerId: file.replace(/:.*$/s, ''), ifname, delegate };
    } catch {
      return undefined;
    }
  }
}
