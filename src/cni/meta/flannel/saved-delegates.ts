import { readdirSync, readFileSync } from 'node:fs';
import { isTemp, removeTemp, removeWhole, writeAtomic } from '../../state/atomic-file.ts';

type Json = Record<string, unknown>;

/** Beside the delegate's own keys: which interface the file is for. The delegate ignores it, as it does other keys. */
const IFNAME = 'ripstop.ifname';

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

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** @throws CniError 5 */
  save(containerId: string, ifname: string, delegate: Json): void {
    const first = this.#read(containerId);
    const name = first && first.ifname !== ifname ? `${containerId}:${ifname}` : containerId;
    writeAtomic(`${this.#directory}/${name}`, JSON.stringify({ ...delegate, [IFNAME]: ifname }), 0o600);
  }

  /** What was saved for an attachment; undefined when there is none or it cannot be read. */
  find(containerId: string, ifname: string): Saved | undefined {
    const own = this.#read(`${containerId}:${ifname}`);
    if (own) return own;
    const first = this.#read(containerId);
    return first && (first.ifname === undefined || first.ifname === ifname) ? first : undefined;
  }

  list(): Saved[] {
    try {
      return readdirSync(this.#directory).flatMap(name => (isTemp(name) ? [] : (this.#read(name) ?? [])));
    } catch {
      return [];
    }
  }

  remove(saved: Saved): void {
    removeWhole(`${this.#directory}/${saved.file}`);
  }

  /** Takes away what a crash left of a record that was not yet one. */
  removeTemps(containerId: string, ifname: string): void {
    for (const name of [containerId, `${containerId}:${ifname}`]) removeTemp(`${this.#directory}/${name}`);
  }

  #read(file: string): Saved | undefined {
    try {
      const { [IFNAME]: ifname, ...delegate } = JSON.parse(
        readFileSync(`${this.#directory}/${file}`, 'utf8'),
      ) as Json;
      const containerId = file.split(':', 1)[0]!;
      return { file, containerId, ifname: typeof ifname === 'string' ? ifname : undefined, delegate };
    } catch {
      return undefined;
    }
  }
}
