import {
  closeSync,
  constants,
  type Dirent,
  linkSync,
  lstatSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { isIP } from 'node:net';
import { hasCode } from '../../../base/errors.ts';
import { readRegularFile } from '../../../base/files/regular-file.ts';
import { withFlock } from '../../../net/file-lock.ts';
import type { Attachment } from '../../config/network.ts';

const LAST_RESERVED = 'last_reserved_ip.';

/** Longest content of an address file that is read, bytes. */
const CONTENT_MAX = 4096;
const buffer = Buffer.alloc(CONTENT_MAX);

const OCTET = '(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)';
const V4 = new RegExp(`^${OCTET}(?:\\.${OCTET}){3}$`);

/** Whether a name is an address. Most are of IPv4, for which node:net need not be loaded: 3 ms of an ADD without an agent. */
const isAddress = (name: string) => V4.test(name) || (name.includes(':') && isIP(name) !== 0);

/** What a crash has left of an address file: nothing, or zeros where the file system had not written the content. */
const UNWRITTEN = /^[\0\s]*$/;

/** An address file. Plugins before CNI 0.8 wrote no interface: it is ''. What a crash has left has no container. */
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

  /** What is named as an address and is not a file that can be read belongs to no attachment: its address stays taken. */
  #reservations(): Reservation[] {
    return readdirSync(this.#directory, { withFileTypes: true }).flatMap(entry => {
      const content = isAddress(entry.name) ? this.#contentOf(entry) : undefined;
      if (content === undefined) return [];
      if (UNWRITTEN.test(content)) return [{ address: entry.name, containerId: '', ifname: '' }];
      const [containerId = '', ifname = ''] = content.trim().split(/\r?\n/, 2);
      return [{ address: entry.name, containerId: containerId.trim(), ifname: ifname.trim() }];
    });
  }

  /** Content of a file, read without a wait; undefined for anything else. */
  #contentOf(entry: Pick<Dirent, 'name' | 'isFile'>): string | undefined {
    if (!entry.isFile()) return undefined;
    try {
      const flags = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW;
      const fd = openSync(`${this.#directory}/${entry.name}`, flags);
      try {
        return buffer.toString('utf8', 0, readSync(fd, buffer, 0, CONTENT_MAX, 0));
      } finally {
        closeSync(fd);
      }
    } catch {
      return undefined;
    }
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
    rmSync(draft, { force: true, recursive: true });
    writeFileSync(draft, `${containerId}\r\n${ifname}`, { mode: 0o600, flag: 'wx' });
    const isReserved = this.#linkInto(draft, address);
    rmSync(draft);
    if (!isReserved) return false;
    writeFileSync(draft, address, { mode: 0o600 });
    const last = `${this.#directory}/${LAST_RESERVED}${set}`;
    try {
      renameSync(draft, last);
    } catch (error) {
      if (!hasCode(error, 'EISDIR')) throw error;
      rmSync(last, { recursive: true });
      renameSync(draft, last);
    }
    return true;
  }

  #linkInto(draft: string, address: string): boolean {
    const file = `${this.#directory}/${address}`;
    for (;;) {
      try {
        linkSync(draft, file);
        return true;
      } catch (error) {
        if (!hasCode(error, 'EEXIST')) throw error;
        const found = lstatSync(file);
        const content = this.#contentOf({ name: address, isFile: () => found.isFile() });
        if (content === undefined || !UNWRITTEN.test(content)) return false;
        rmSync(file);
      }
    }
  }

  /** The last reserved address of a set, or undefined. */
  lastReserved(set: number): string | undefined {
    try {
      const address = readRegularFile(`${this.#directory}/${LAST_RESERVED}${set}`).trim();
      return isAddress(address) ? address : undefined;
    } catch {
      return undefined;
    }
  }

  /** Frees the addresses of an attachment, if it has any. */
  release(containerId: string, ifname: string): void {
    for (const address of this.addressesOf(containerId, ifname)) this.#remove(address);
  }

  /** Frees every address whose attachment is not in `valid`, and removes what crashes have left. @returns the addresses */
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
