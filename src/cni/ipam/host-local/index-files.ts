import { createHash } from 'node:crypto';
import {
  mkdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { isIP } from 'node:net';
import { hasCode } from '../../../base/errors.ts';

/*
 * Who holds which address, answered without reading every address file.
 *
 * The reference format names files by address, so finding those of a container means reading all. Beside the
 * network's directory, where the reference plugin does not look, stands one symbolic link per attachment, whose
 * target is the list of its addresses. Links are never the truth, only a copy; whether the copy is current is told
 * by the directory's own modification time: after each change we set it to a whole second that has passed, and
 * note it. Any change by another program, and any crash of ours half way, leaves a later time, and the copy is
 * made anew from the files. docs/decisions/0050 has the reasoning.
 */

/** Longest file name of Linux, bytes. */
const NAME_MAX = 255;

export type Key = `${string}:${string}`;

/** Container and interface as one name: neither may contain a colon. Old files hold no interface: it is ''. */
export function keyOf(containerId: string, ifname: string): Key {
  return `${containerId}:${ifname}`;
}

function fileName(key: Key): string {
  if (Buffer.byteLength(key) <= NAME_MAX) return key;
  return `sha256:${createHash('sha256').update(key).digest('hex')}`;
}

export class AddressIndex {
  readonly #network: string;
  readonly #links: string;
  readonly #seal: string;

  /** @param network directory of the address files; @param directory directory of the copy */
  constructor(network: string, directory: string) {
    this.#network = network;
    this.#links = `${directory}/attachments`;
    this.#seal = `${directory}/seal`;
  }

  /** True when no other program has changed the directory since `seal`. */
  isCurrent(): boolean {
    try {
      return readFileSync(this.#seal, 'utf8') === String(statSync(this.#network).mtimeMs);
    } catch {
      return false;
    }
  }

  /** Declares the copy current; the last act of every change, under the lock. */
  seal(): void {
    const passed = Math.floor(Date.now() / 1000) - 1;
    writeFileSync(this.#seal, String(passed * 1000));
    utimesSync(this.#network, passed, passed);
  }

  /** Throws the copy away and makes it from `holders`. */
  rebuild(holders: ReadonlyMap<Key, readonly string[]>): void {
    rmSync(this.#links, { recursive: true, force: true });
    mkdirSync(this.#links, { recursive: true, mode: 0o755 });
    for (const [key, addresses] of holders) this.set(key, addresses);
  }

  /** What is no address is left out: the caller removes files by these names. */
  addressesOf(key: Key): string[] {
    try {
      return readlinkSync(`${this.#links}/${fileName(key)}`)
        .split(',')
        .filter(isIP);
    } catch {
      return [];
    }
  }

  set(key: Key, addresses: readonly string[]): void {
    this.remove(key);
    symlinkSync(addresses.join(','), `${this.#links}/${fileName(key)}`);
  }

  remove(key: Key): void {
    try {
      unlinkSync(`${this.#links}/${fileName(key)}`);
    } catch (error) {
      if (!hasCode(error, 'ENOENT')) throw error;
    }
  }
}
