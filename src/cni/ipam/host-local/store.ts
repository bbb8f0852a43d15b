import { linkSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { hasCode } from '../../../base/errors.ts';
import { withFlock } from '../../../net/file-lock.ts';
import type { Attachment } from '../../config/network.ts';

const LAST_RESERVED = 'last_reserved_ip.';

/** An address file. Plugins before CNI 0.8 wrote no interface: it is ''. An empty file, which a crash left, has no container. */
interface Reservation {
  address: string;
  containerId: string;
  ifname: string;
}

/**
 * The addresses of one network on disk, in the reference plugin's format: one file per address that contains
 * "<container>\r\n<interface>", and `last_reserved_ip.<set>`. Only to be used inside `locked`.
 */
export class AddressStore {
  readonly #directory: string;

  private constructor(directory: string) {
    this.#directory = directory;
  }

  /** Runs `work` on the store in `directory` under the lock that the reference plugin takes too. */
  static locked<T>(directory: string, work: (store: AddressStore) => T): Promise<T> {
    return withFlock(directory, () => work(new AddressStore(directory)));
  }

  #reservations(): Reservation[] {
    const names = readdirSync(this.#directory).filter(name => isIP(name) !== 0);
    return names.map(address => {
      const content = readFileSync(`${this.#directory}/${address}`, 'utf8');
      const [containerId = '', ifname = ''] = content.trim().split(/\r?\n/, 2);
      return { address, containerId: containerId.trim(), ifname: ifname.trim() };
    });
  }

  /** Addresses of an attachment. Files without an interface belong to every interface of the container. */
  addressesOf(containerId: string, ifname: string): string[] {
    const own = this.#reservations().filter(one => one.containerId === containerId);
    const exact = own.filter(one => one.ifname === ifname);
    return (exact.length > 0 ? exact : own.filter(one => one.ifname === '')).map(one => one.address);
  }

  /** Names of all address files: read once when the first candidate turned out to be taken. */
  taken(): Set<string> {
    return new Set(readdirSync(this.#directory));
  }

  /**
   * Reserves an address.
   * The file appears with its content or not at all: it is written under another name and linked into place. It is not synced,
   * because a power failure ends the pods as well.
   * @returns false when the address is reserved already
   */
  reserve(address: string, containerId: string, ifname: string, set: number): boolean {
    const draft = `${this.#directory}/.draft`;
    rmSync(draft, { force: true });
    writeFileSync(draft, `${containerId}\r\n${ifname}`, { mode: 0o600, flag: 'wx' });
    const isReserved = this.#linkInto(draft, `${this.#directory}/${address}`);
    rmSync(draft);
    if (!isReserved) return false;
    writeFileSync(draft, address, { mode: 0o600 });
    renameSync(draft, `${this.#directory}/${LAST_RESERVED}${set}`);
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
        rmSync(file);
      }
    }
  }

  /** The last reserved address of a set, or undefined. */
  lastReserved(set: number): string | undefined {
    try {
      const address = readFileSync(`${this.#directory}/${LAST_RESERVED}${set}`, 'utf8').trim();
      return isIP(address) === 0 ? undefined : address;
    } catch {
      return undefined;
    }
  }

  /** Frees the addresses of an attachment, if it has any. */
  release(containerId: string, ifname: string): void {
    for (const address of this.addressesOf(containerId, ifname)) this.#remove(address);
  }

  /** Frees every address whose attachment is not in `valid`, and removes empty files. @returns the addresses */
  collect(valid: readonly Attachment[]): string[] {
    const isValid = ({ containerId, ifname }: Reservation) =>
      valid.some(one => one.containerID === containerId && (ifname === '' || one.ifname === ifname));
    const stale = this.#reservations()
      .filter(one => !isValid(one))
      .map(one => one.address);
    for (const address of stale) this.#remove(address);
    return stale;
  }

  #remove(address: string): void {
    rmSync(`${this.#directory}/${address}`, { force: true });
  }
}
