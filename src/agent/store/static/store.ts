import { RipstopError } from '../../../base/errors.ts';
import { fail } from '../../../base/schema.ts';
import type { NetworkConfig } from '../../config/net-conf.ts';
import type { Lease, LeaseAttributes } from '../../lease/lease.ts';
import type { LeaseRequest, LeaseStore, StoreObserver } from '../../lease/store.ts';
import {
  networkConfigOf,
  ownLease,
  parseStaticFile,
  peerLease,
  readText,
  type StaticFile,
  underlayFamily,
} from './static-file.ts';

/**
 * A lease store in one file of this node, which lists the subnets of this node and the peers. Leases do not end. The file is
 * read at start and on `reload` (SIGHUP).
 */
export class StaticStore implements LeaseStore {
  readonly kind = 'static';
  readonly location: string;
  readonly allocates = false;
  readonly unreadable = new Map<string, string>();
  readonly #nodeName: string;
  #file: StaticFile;
  #leases = new Map<string, Lease>();
  #own: Lease | undefined;

  /** @param path `-` for standard input @throws RipstopError ECONFIG, or the errno name */
  constructor(path: string, nodeName: string) {
    this.location = path;
    this.#nodeName = nodeName;
    this.#file = parseStaticFile(readText(path), path);
    this.#setLeases();
  }

  get file(): StaticFile {
    return this.#file;
  }

  get leases(): ReadonlyMap<string, Lease> {
    return this.#leases;
  }

  /** The text does not contain the peers, which are leases. */
  async networkConfig(): Promise<{ text: string; source: string }> {
    return { text: JSON.stringify(configKeys(this.#file)), source: this.location };
  }

  parseConfig(): NetworkConfig {
    return networkConfigOf(this.#file);
  }

  /** The lease of this node, with what it publishes. */
  ownLease(attributes: LeaseAttributes): Lease {
    return ownLease(this.#file, attributes, this.#nodeName);
  }

  async acquire({ attributes }: LeaseRequest): Promise<Lease> {
    this.#own = this.ownLease(attributes);
    this.#setLeases();
    return this.#own;
  }

  async renew(lease: Lease): Promise<Lease> {
    return lease;
  }

  follow(observer: StoreObserver): void {
    queueMicrotask(() => {
      observer.up();
      observer.leases(this.#leases, undefined);
    });
  }

  async reload(check: (config: NetworkConfig) => void): Promise<void> {
    if (this.location === '-')
      throw new RipstopError('ECONFIG', 'standard input cannot be read again', 'use a file');
    const file = parseStaticFile(readText(this.location), this.location);
    if (file.namespace !== this.#file.namespace)
      fail(
        `${this.location}: namespace`,
        'cannot change while the node runs',
        'restart the node, or restore the former value',
      );
    check(networkConfigOf(file));
    this.#file = file;
    this.#setLeases();
  }

  async close(): Promise<void> {}

  #setLeases(): void {
    const peers = this.#file.peers.map(peer => peerLease(peer, this.#file));
    this.#leases = new Map([...(this.#own ? [this.#own] : []), ...peers].map(lease => [lease.key, lease]));
  }
}

/** Everything but the peers, of which only the family of the underlay may come, in a form that JSON keeps. */
function configKeys(file: StaticFile): object {
  const { peers: _peers, settings, ...rest } = file;
  return { ...rest, settings: [...settings], family: underlayFamily(file) };
}
