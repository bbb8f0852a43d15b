import { readFile, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from '../../base/atomic-file.ts';
import { addressInUse } from '../lease/lease.ts';
import { FORMER_BOOT_TTL_MS, isOtherBoot, LIVENESS_TTL_MS } from './node-identity.ts';

/** The last heartbeat of a node. */
export interface Heartbeat {
  readonly token: string;
  /** Time since then by the clock of the file server, ms. */
  readonly silentMs: number;
}

/** Heartbeats of the nodes that share a file store: one file per public address, with the token of the node. */
export class FileLiveness {
  readonly #directory: string;
  readonly #token: string;
  /** Clock of the file server minus the local one, ms. */
  skewMs = 0;
  /** Path of this node's heartbeat. */
  #own: string | undefined;

  constructor(directory: string, token: string) {
    this.#directory = directory;
    this.#token = token;
  }

  /** The node that is alive under a public address. */
  async holderOf(identity: string): Promise<string | undefined> {
    return this.#holderAt(this.#pathOf(identity));
  }

  /** The heartbeat of this node under another boot of the kernel, while it counts as alive. */
  async otherBoot(identity: string): Promise<Heartbeat | undefined> {
    const beat = await this.#read(this.#pathOf(identity));
    return beat && isOtherBoot(beat.token, this.#token) && this.#isAlive(beat) ? beat : undefined;
  }

  /** Writes the first heartbeat under the public address of this node. @throws RipstopError EINUSE */
  async claim(identity: string): Promise<void> {
    const path = this.#pathOf(identity);
    const holder = await this.#holderAt(path);
    if (holder !== undefined && holder !== this.#token) throw addressInUse(holder, identity);
    if (this.#own && this.#own !== path) await unlink(this.#own).catch(() => {});
    await writeFileAtomic(path, this.#token);
    this.#own = path;
  }

  /** Writes a heartbeat. @throws RipstopError EINUSE when another node is alive under the address, errors of the file system */
  async beat(): Promise<void> {
    const path = this.#own;
    if (path === undefined) return;
    const holder = await this.#holderAt(path);
    if (holder !== undefined && holder !== this.#token) throw addressInUse(holder, path);
    await writeFileAtomic(path, this.#token);
  }

  /** Removes this node's heartbeat. */
  async close(): Promise<void> {
    const path = this.#own;
    if (path !== undefined && (await this.#holderAt(path)) === this.#token)
      await unlink(path).catch(() => {});
  }

  #pathOf(identity: string): string {
    return join(this.#directory, identity.replaceAll(':', '-'));
  }

  async #holderAt(path: string): Promise<string | undefined> {
    const beat = await this.#read(path);
    return beat && this.#isAlive(beat) ? beat.token : undefined;
  }

  #isAlive({ token, silentMs }: Heartbeat): boolean {
    if (token === this.#token) return true;
    return silentMs < (isOtherBoot(token, this.#token) ? FORMER_BOOT_TTL_MS : LIVENESS_TTL_MS);
  }

  async #read(path: string): Promise<Heartbeat | undefined> {
    try {
      const [token, { mtimeMs }] = await Promise.all([readFile(path, 'utf8'), stat(path)]);
      return { token, silentMs: Date.now() + this.skewMs - mtimeMs };
    } catch {
      return undefined;
    }
  }
}
