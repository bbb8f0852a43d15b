import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from '../../base/atomic-file.ts';
import { parseMac, randomMac } from '../../ip/mac.ts';
import type { Link } from '../../net/rtnetlink/links.ts';
import { type Checkpoint, formatCheckpoint, parseCheckpoint } from './checkpoint.ts';
import type { VtepMacs } from './plan.ts';

/** The least time between two writes of the last known state, ms. */
const SAVE_EVERY_MS = 1000;

/**
 * What outlives the agent in its state directory: the VTEP MACs, so that a restart changes nothing for peers, and the
 * last known state. The directory is a tmpfs: after a reboot there is neither, and the node begins anew.
 */
export class StateDir {
  readonly #directory: string;
  #lastDigest = '';
  /** What the next write keeps. */
  #wanted: { readonly known: Checkpoint; readonly failed: (error: unknown) => void } | undefined;
  /** The write under way. */
  #saving: Promise<void> | undefined;
  /** When the last write began, monotonic ms. */
  #savedAt = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;
  /** Also those that could not be saved. */
  #macs: VtepMacs | undefined;
  /** Names of devices, also those that could not be saved. */
  readonly #made = new Set<string>();

  constructor(directory: string) {
    this.#directory = directory;
  }

  /**
   * The MACs of the previous run, or of `known` (the store has them), or new ones: local, unicast, random.
   * @param keep save them for the next start
   * @param failed called when they cannot be saved; the default throws the error
   */
  async macs(
    known: { mac?: string; mac6?: string },
    keep = true,
    failed: (error: unknown) => void = error => {
      throw error;
    },
  ): Promise<VtepMacs> {
    const path = join(this.#directory, 'vtep.json');
    const stored = this.#macs ?? (await readMacs(path));
    const macs = {
      mac4: stored.mac4 ?? known.mac ?? randomMac(),
      mac6: stored.mac6 ?? known.mac6 ?? randomMac(),
    };
    if (keep && (stored.mac4 !== macs.mac4 || stored.mac6 !== macs.mac6))
      await writeFileAtomic(path, `${JSON.stringify(macs)}\n`, 0o600).catch(failed);
    this.#macs = macs;
    return macs;
  }

  /** The MACs of the previous run. */
  async savedMacs(): Promise<string[]> {
    return Object.values(await readMacs(join(this.#directory, 'vtep.json')));
  }

  /** Names of the devices that were ever made on this node, for `ripstop cleanup`. */
  async devices(): Promise<string[]> {
    const names = await readJson(this.#devicesPath());
    const saved = Array.isArray(names) ? names.filter(name => typeof name === 'string') : [];
    return [...new Set([...saved, ...this.#made])];
  }

  /** Records names of devices. */
  async rememberDevices(devices: readonly string[]): Promise<void> {
    const known = await this.devices();
    const all = [...new Set([...known, ...devices])].sort();
    if (all.length === known.length) return;
    for (const name of devices) this.#made.add(name);
    await writeFileAtomic(this.#devicesPath(), `${JSON.stringify(all)}\n`, 0o600);
  }

  /** The saved state; undefined where there is none, and for a file of another version. */
  async load(): Promise<Checkpoint | undefined> {
    return parseCheckpoint(await readJson(this.#path()));
  }

  /**
   * Keeps the state. Writes are one after the other and at most one a second; the last call is the one that counts, so
   * the file holds the newest state a moment after the last change.
   * @param failed told of a write that failed, for instance because the disk is full; the next call tries again
   */
  save(known: Checkpoint, failed: (error: unknown) => void): void {
    this.#wanted = { known, failed };
    if (this.#saving || this.#timer) return;
    const restMs = this.#savedAt + SAVE_EVERY_MS - performance.now();
    if (restMs <= 0) this.#write();
    else this.#timer = setTimeout(() => this.#write(), restMs);
  }

  /** Writes what waits. Resolves when it is on disk, or has failed. */
  async flush(): Promise<void> {
    await this.#saving;
    if (this.#wanted) this.#write();
    await this.#saving;
  }

  #write(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const wanted = this.#wanted;
    if (!wanted) return;
    this.#wanted = undefined;
    this.#savedAt = performance.now();
    this.#saving = this.#keep(wanted.known)
      .catch(wanted.failed)
      .finally(() => {
        this.#saving = undefined;
        if (this.#wanted) this.save(this.#wanted.known, this.#wanted.failed);
      });
  }

  async #keep(known: Checkpoint): Promise<void> {
    const text = formatCheckpoint(known);
    // A digest, not the text: thousands of leases are megabytes that nobody reads again.
    const digest = createHash('sha1').update(text).digest('hex');
    if (digest === this.#lastDigest) return;
    await writeFileAtomic(this.#path(), text, 0o600);
    this.#lastDigest = digest;
  }

  #devicesPath(): string {
    return join(this.#directory, 'devices.json');
  }

  #path(): string {
    return join(this.#directory, 'last-known.json');
  }
}

/**
 * Names of the links that an agent of this node made.
 * @param made names that it ever gave
 * @param macs of its VTEPs: a kernel VXLAN of such a name with another MAC is flannel's, made after we were gone
 */
export function ownDevices(
  links: readonly Link[],
  made: readonly string[],
  macs: readonly string[],
): string[] {
  return links
    .filter(
      ({ name, kind, mac }) =>
        made.includes(name) &&
        (kind === 'tun' || (kind === 'vxlan' && mac !== undefined && macs.includes(mac))),
    )
    .map(({ name }) => name);
}

async function readJson(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, 'utf8'));
  } catch {
    return undefined;
  }
}

/** The MACs of `vtep.json`; a file that a full disk cut has none. */
async function readMacs(path: string): Promise<Partial<VtepMacs>> {
  const { mac4, mac6 } = Object(await readJson(path)) as Record<string, unknown>;
  return { ...(isMac(mac4) ? { mac4 } : {}), ...(isMac(mac6) ? { mac6 } : {}) };
}

function isMac(text: unknown): text is string {
  return typeof text === 'string' && parseMac(text) !== undefined;
}
