import {
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { isIP } from 'node:net';
import { hasCode } from '../../../base/errors.ts';
import { withFlock } from '../../../net/file-lock.ts';
import type { Attachment } from '../../config/network.ts';
import { AddressIndex, type Key, keyOf } from './index-files.ts';

const LAST_RESERVED = 'last_reserved_ip.';

/** What stands in an address file: container and, since CNI 0.8 plugins, interface. */
function readHolder(content: string): Key | undefined {
  const [containerId = '', ifname = ''] = content.trim().split(/\r?\n/, 2);
  return containerId.trim() === '' ? undefined : keyOf(containerId.trim(), ifname.trim());
}

/**
 * The addresses of one network on disk, in the reference plugin's format: one file per address holding
 * "<container>\r\n<interface>", and `last_reserved_ip.<set>`. Only to be used inside `locked`.
 */
export class AddressStore {
  readonly #directory: string;
  readonly #indexDirectory: string;
  readonly #index: AddressIndex;

  private constructor(dataDir: string, network: string) {
    this.#directory = `${dataDir}/${network}`;
    // A network name never begins with a dot, so this is the directory of no network.
    this.#indexDirectory = `${dataDir}/.ripstop/${network}`;
    this.#index = new AddressIndex(this.#directory, this.#indexDirectory);
  }

  /** Runs `work` on the store under the lock that the reference plugin takes too. */
  static locked<T>(dataDir: string, network: string, work: (store: AddressStore) => T): Promise<T> {
    return withFlock(`${dataDir}/${network}`, () => {
      const store = new AddressStore(dataDir, network);
      store.#open();
      return work(store);
    });
  }

  #open(): void {
    if (this.#index.isCurrent()) return;
    mkdirSync(this.#indexDirectory, { recursive: true, mode: 0o755 });
    const holders = new Map<Key, string[]>();
    for (const { address, holder } of this.#walk()) {
      // A crash of the reference plugin leaves an empty file. The address is free, and is given again when its turn comes.
      if (holder) holders.set(holder, [...(holders.get(holder) ?? []), address]);
    }
    this.#index.rebuild(holders);
    this.#index.seal();
  }

  *#walk(): Generator<{ address: string; holder: Key | undefined }> {
    for (const address of readdirSync(this.#directory)) {
      if (isIP(address) === 0) continue;
      yield { address, holder: readHolder(readFileSync(`${this.#directory}/${address}`, 'utf8')) };
    }
  }

  /** Addresses of an attachment; files of old plugins, without interface, belong to every one of the container. */
  addressesOf(containerId: string, ifname: string): string[] {
    const exact = this.#index.addressesOf(keyOf(containerId, ifname));
    return exact.length > 0 ? exact : this.#index.addressesOf(keyOf(containerId, ''));
  }

  /** Names of all address files: read once when the first candidate turned out to be taken. */
  taken(): Set<string> {
    return new Set(readdirSync(this.#directory));
  }

  /**
   * Takes an address, unless it is somebody's. The file appears with its content or not at all: it is written
   * elsewhere and linked into place. Not synced: a machine that loses power loses its pods too, and an address
   * that is forgotten then is free, which is right.
   */
  reserve(address: string, containerId: string, ifname: string, set: number): boolean {
    const file = `${this.#directory}/${address}`;
    const draft = `${this.#indexDirectory}/draft`;
    rmSync(draft, { force: true });
    writeFileSync(draft, `${containerId}\r\n${ifname}`, { mode: 0o600, flag: 'wx' });
    if (!this.#linkInto(draft, file)) return false;
    unlinkSync(draft);
    writeFileSync(draft, address, { mode: 0o600 });
    renameSync(draft, `${this.#directory}/${LAST_RESERVED}${set}`);
    const key = keyOf(containerId, ifname);
    this.#index.set(key, [...this.#index.addressesOf(key), address]);
    this.#index.seal();
    return true;
  }

  #linkInto(draft: string, file: string): boolean {
    for (;;) {
      try {
        linkSync(draft, file);
        return true;
      } catch (error) {
        if (!hasCode(error, 'EEXIST')) throw error;
        if (statSync(file).size > 0) return false;
        unlinkSync(file);
      }
    }
  }

  /** The address given last in a set, or undefined. */
  lastReserved(set: number): string | undefined {
    try {
      const address = readFileSync(`${this.#directory}/${LAST_RESERVED}${set}`, 'utf8').trim();
      return isIP(address) === 0 ? undefined : address;
    } catch {
      return undefined;
    }
  }

  /** Frees what an attachment holds; nothing to free is fine. Touches the attachment's files only. */
  release(containerId: string, ifname: string): string[] {
    const exact = keyOf(containerId, ifname);
    const key = this.#index.addressesOf(exact).length > 0 ? exact : keyOf(containerId, '');
    const addresses = this.#index.addressesOf(key);
    if (addresses.length > 0) this.#drop(key, addresses);
    return addresses;
  }

  /** Frees every address whose attachment is not in `valid`, and empty files. @returns the addresses */
  collect(valid: readonly Attachment[]): string[] {
    const kept = new Set<Key>(
      valid.flatMap(one => [keyOf(one.containerID, one.ifname), keyOf(one.containerID, '')]),
    );
    const freed: string[] = [];
    for (const { address, holder } of this.#walk()) {
      if (holder && kept.has(holder)) continue;
      rmSync(`${this.#directory}/${address}`, { force: true });
      if (holder) this.#index.remove(holder);
      freed.push(address);
    }
    if (freed.length > 0) this.#index.seal();
    return freed;
  }

  #drop(key: Key, addresses: readonly string[]): void {
    for (const address of addresses) rmSync(`${this.#directory}/${address}`, { force: true });
    this.#index.remove(key);
    this.#index.seal();
  }
}
