import { readdirSync, readFileSync } from 'node:fs';
import { tagOf } from '../../link/tag.ts';
import { removeWhole, writeAtomic } from '../../state/atomic-file.ts';

/** One lease as it stands on disk. Option values as hexadecimal text. */
export interface StoredLease {
  network: string;
  containerId: string;
  ifname: string;
  netns: string;
  /** Index of the interface: another one by the same name is not the one that has the lease. */
  link: number;
  address: string;
  server: string;
  provide: { code: number; hex: string }[];
  request: number[];
  priority: number;
  options: [number, string][];
  /** Milliseconds since 1970 of the acknowledgement. */
  grantedAt: number;
}

/** The daemon's leases on disk, so that it can be started anew while pods run. */
export class LeaseFiles {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  #file(lease: Pick<StoredLease, 'network' | 'containerId' | 'ifname'>): string {
    return `${this.#directory}/${tagOf(lease.network, lease.containerId, lease.ifname)}.json`;
  }

  /** @throws CniError 5 */
  write(lease: StoredLease): void {
    writeAtomic(this.#file(lease), JSON.stringify(lease), 0o600);
  }

  remove(lease: Pick<StoredLease, 'network' | 'containerId' | 'ifname'>): void {
    removeWhole(this.#file(lease));
  }

  /** All that can be read; a file that cannot is left alone. */
  list(): StoredLease[] {
    let names: string[];
    try {
      names = readdirSync(this.#directory);
    } catch {
      return [];
    }
    return names.flatMap(name => {
      if (!name.endsWith('.json')) return [];
      try {
        return [JSON.parse(readFileSync(`${this.#directory}/${name}`, 'utf8')) as StoredLease];
      } catch {
        return [];
      }
    });
  }
}
