import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { removeStaleTemps, writeFileAtomic } from '../../base/atomic-file.ts';
import { Backoff, pause } from '../../base/backoff.ts';
import { describeError } from '../../base/errors.ts';
import { anyValue, type Field, listOf, openObject, readJson, string } from '../../base/schema.ts';
import { parseMac, randomMac } from '../../ip/mac.ts';
import type { Link } from '../../net/rtnetlink/links.ts';
import { isSetAside } from '../kernel/set-aside.ts';
import { DEVICE_ALIAS } from '../kernel/state.ts';
import { type Checkpoint, formatCheckpoint, parseCheckpoint } from './checkpoint.ts';
import type { VtepMacs } from './plan.ts';

/** Shortest time between two writes of the saved state, ms, unless another one is given. */
const SAVE_EVERY_MS = 1000;
/** Longest pause after writes that failed, ms. */
const RETRY_AT_MOST_MS = 60_000;

/**
 * What the agent keeps in its state directory for the next start: the VTEP MACs, so that a restart changes nothing for
 * peers, and the saved state. The directory is usually in a tmpfs, which a reboot empties.
 */
export class StateDir {
  readonly #directory: string;
  readonly #saveEveryMs: number;
  #lastDigest = '';
  /** Content of the next write. */
  #wanted: { readonly known: Checkpoint; readonly failed: (error: unknown) => void } | undefined;
  /** Pending until the state of the last call is written, and the pause after it is over. */
  #saving: Promise<void> | undefined;
  /** Ends the pause between two writes. */
  #rest = new AbortController();
  /** The MACs in use, also when they could not be saved. */
  #macs: VtepMacs | undefined;
  /** Names of devices, also those that could not be saved. */
  readonly #made = new Set<string>();

  constructor(directory: string, saveEveryMs = SAVE_EVERY_MS) {
    this.#directory = directory;
    this.#saveEveryMs = saveEveryMs;
  }

  /** Removes what killed processes left of writing these files and `others`. Not while an agent uses the directory. */
  removeStaleTemps(...others: readonly string[]): void {
    for (const name of ['vtep', 'devices', 'last-known'] as const) removeStaleTemps(this.#path(name));
    for (const path of others) removeStaleTemps(path);
  }

  /**
   * The MACs of the previous run, otherwise those of `known`, otherwise new ones: local, unicast, random.
   * @param saveFailed called when they cannot be saved; absent: they are not saved
   */
  async macs(
    known: { mac?: string; mac6?: string },
    saveFailed?: (error: unknown) => void,
  ): Promise<VtepMacs> {
    const path = this.#path('vtep');
    const stored = this.#macs ?? (await readMacs(path));
    const macs = {
      mac4: stored.mac4 ?? known.mac ?? randomMac(),
      mac6: stored.mac6 ?? known.mac6 ?? randomMac(),
    };
    if (saveFailed && (stored.mac4 !== macs.mac4 || stored.mac6 !== macs.mac6))
      await writeFileAtomic(path, `${JSON.stringify(macs)}\n`, 0o600).catch(saveFailed);
    this.#macs = macs;
    return macs;
  }

  /** Names of all devices that agents of this node made. */
  async devices(): Promise<string[]> {
    const saved = await load(this.#path('devices'), listOf(string));
    return [...new Set([...(saved ?? []), ...this.#made])];
  }

  async rememberDevices(devices: readonly string[]): Promise<void> {
    const known = await this.devices();
    const all = [...new Set([...known, ...devices])].sort();
    if (all.length === known.length) return;
    for (const name of devices) this.#made.add(name);
    await writeFileAtomic(this.#path('devices'), `${JSON.stringify(all)}\n`, 0o600);
  }

  /** The saved state; undefined without one, and for a file of another version. */
  async load(): Promise<Checkpoint | undefined> {
    return parseCheckpoint(await load(this.#path('last-known'), anyValue()));
  }

  /**
   * Saves the state: one write at a time, at most one per interval, with the state of the last call.
   * @param failed called when a write fails, for instance because the disk is full, once per reason; it is repeated until it
   *   succeeds
   */
  save(known: Checkpoint, failed: (error: unknown) => void): void {
    this.#wanted = { known, failed };
    this.#saving ??= this.#saveAll();
  }

  /** Writes the pending state. Resolves when it is on disk, or has failed. */
  async flush(): Promise<void> {
    this.#rest.abort();
    await this.#saving;
    this.#rest = new AbortController();
  }

  async #saveAll(): Promise<void> {
    const retry = new Backoff(this.#saveEveryMs, Math.max(this.#saveEveryMs, RETRY_AT_MOST_MS));
    let reported = '';
    while (this.#wanted) {
      const { known, failed } = this.#wanted;
      this.#wanted = undefined;
      try {
        await this.#write(known);
        retry.reset();
        reported = '';
        await pause(this.#saveEveryMs, this.#rest.signal);
      } catch (error) {
        const reason = describeError(error);
        if (reason !== reported) failed(error);
        reported = reason;
        // The last attempt of `flush`: nothing changes until the caller goes on.
        if (this.#rest.signal.aborted) break;
        await retry.wait(this.#rest.signal);
        this.#wanted ??= { known, failed };
      }
    }
    this.#saving = undefined;
  }

  async #write(known: Checkpoint): Promise<void> {
    const text = formatCheckpoint(known);
    // A digest instead of the text, which has megabytes for thousands of leases.
    const digest = createHash('sha1').update(text).digest('hex');
    if (digest === this.#lastDigest) return;
    await writeFileAtomic(this.#path('last-known'), text, 0o600);
    this.#lastDigest = digest;
  }

  #path(name: 'vtep' | 'devices' | 'last-known'): string {
    return join(this.#directory, `${name}.json`);
  }
}

/**
 * Names of the links that an agent of this node made or set aside.
 * @param made names of all devices that agents of this node made: flanneld may have made another device of such a name since
 */
export function ownDevices(links: readonly Link[], made: readonly string[]): string[] {
  return links
    .filter(
      link =>
        isSetAside(link) ||
        (made.includes(link.name) &&
          (link.kind === 'tun' || (link.kind === 'vxlan' && link.alias === DEVICE_ALIAS))),
    )
    .map(({ name }) => name);
}

/** Undefined for a file that is absent or damaged. */
async function load<T>(path: string, field: Field<T>): Promise<T | undefined> {
  try {
    return readJson(field, await readFile(path, 'utf8'), path);
  } catch {
    return undefined;
  }
}

/** The MACs of `vtep.json`; none of a truncated file. */
async function readMacs(path: string): Promise<Partial<VtepMacs>> {
  const { mac4, mac6 } = (await load(path, openObject({ mac4: string, mac6: string }, ''))) ?? {};
  return { ...(isMac(mac4) ? { mac4 } : {}), ...(isMac(mac6) ? { mac6 } : {}) };
}

function isMac(text: string | undefined): text is string {
  return text !== undefined && parseMac(text) !== undefined;
}
