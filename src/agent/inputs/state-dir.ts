import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from '../../base/atomic-file.ts';
import { parseMac, randomMac } from '../../ip/mac.ts';
import { formatPrefix, parsePrefix } from '../../ip/prefix.ts';
import type { Link } from '../../net/rtnetlink/links.ts';
import { formatAttributes, type Lease, parseAttributes } from '../lease/lease.ts';
import type { KeptLeases, NodeOverrides } from '../lease/store.ts';
import type { VtepMacs } from './plan.ts';
import type { UnderlayHistory } from './underlay-chooser.ts';

/** The network configuration as the store has it, and its name for messages. */
export interface ConfigText {
  readonly text: string;
  readonly source: string;
}

/** What the agent last knew; enough to carry on while the store is away, and at a start until it has answered. */
export interface Checkpoint {
  /** `place` of the store that said it. */
  readonly store: string;
  readonly config: ConfigText;
  readonly lease: Lease;
  /** By key. May change in place until it is written. */
  readonly leases: ReadonlyMap<string, Lease>;
  /** Keys of leases that contradict those of known peers. */
  readonly refused?: ReadonlySet<string> | undefined;
  /** What the store said of this node. */
  readonly overrides: NodeOverrides;
  readonly underlay?: UnderlayHistory | undefined;
  /** Which of the leases an emptied store had lost. */
  readonly kept?: KeptLeases | undefined;
}

/** The least time between two writes of the last known state, ms. */
const SAVE_EVERY_MS = 1000;

interface StoredLease {
  key: string;
  v4?: string;
  v6?: string;
  attributes: unknown;
  expiresAt?: number;
  since?: number;
}

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
    const stored = this.#macs ?? (await readJson<Partial<VtepMacs>>(path));
    const macs = {
      mac4: parseMacOrUndefined(stored?.mac4) ?? known.mac ?? randomMac(),
      mac6: parseMacOrUndefined(stored?.mac6) ?? known.mac6 ?? randomMac(),
    };
    if (keep && (stored?.mac4 !== macs.mac4 || stored.mac6 !== macs.mac6))
      await writeFileAtomic(path, `${JSON.stringify(macs)}\n`, 0o600).catch(failed);
    this.#macs = macs;
    return macs;
  }

  /** The MACs of a former life; undefined when there was none. */
  async savedMacs(): Promise<VtepMacs | undefined> {
    return readJson<VtepMacs>(join(this.#directory, 'vtep.json'));
  }

  /** Names of the devices that were ever made on this node, for `ripstop cleanup`. */
  async devices(): Promise<string[]> {
    const names = await readJson<unknown>(this.#devicesPath());
    return Array.isArray(names) ? names : [];
  }

  /** Remembers devices, before they are made. */
  async rememberDevices(devices: readonly string[]): Promise<void> {
    const known = await this.devices();
    const all = [...new Set([...known, ...devices])].sort();
    if (all.length > known.length)
      await writeFileAtomic(this.#devicesPath(), `${JSON.stringify(all)}\n`, 0o600);
  }

  async load(): Promise<Checkpoint | undefined> {
    const stored = await readJson<{
      store: string;
      config: Checkpoint['config'];
      lease: StoredLease;
      leases: StoredLease[];
      overrides?: Checkpoint['overrides'];
      underlay?: Checkpoint['underlay'];
      refused?: string[];
      kept?: Checkpoint['kept'];
    }>(this.#path());
    if (!stored) return undefined;
    try {
      return {
        store: stored.store,
        config: stored.config,
        lease: fromJson(stored.lease),
        leases: new Map(stored.leases.map(lease => [lease.key, fromJson(lease)])),
        overrides: stored.overrides ?? {},
        underlay: stored.underlay,
        refused: new Set(stored.refused),
        kept: stored.kept,
      };
    } catch {
      // Written by another version: as good as absent.
      return undefined;
    }
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
    const { store, config, overrides, underlay, kept, lease, leases } = known;
    const refused = [...(known.refused ?? [])];
    const head = JSON.stringify({ store, config, overrides, underlay, refused, kept });
    const all = Array.from(leases.values(), leaseText).join();
    const text = `${head.slice(0, -1)},"lease":${leaseText(lease)},"leases":[${all}]}\n`;
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

/** JSON of leases: a change of one does not format the others again. */
const texts = new WeakMap<Lease, string>();

function leaseText(lease: Lease): string {
  const known = texts.get(lease);
  if (known !== undefined) return known;
  const text = JSON.stringify(toJson(lease));
  texts.set(lease, text);
  return text;
}

function toJson(lease: Lease): StoredLease {
  return {
    key: lease.key,
    ...(lease.v4 ? { v4: formatPrefix(lease.v4) } : {}),
    ...(lease.v6 ? { v6: formatPrefix(lease.v6) } : {}),
    attributes: JSON.parse(formatAttributes(lease.attributes)),
    ...(lease.expiresAt === undefined ? {} : { expiresAt: lease.expiresAt }),
    ...(lease.since === undefined ? {} : { since: lease.since }),
  };
}

function fromJson({ key, v4, v6, attributes, expiresAt, since }: StoredLease): Lease {
  return {
    key,
    v4: v4 === undefined ? undefined : parsePrefix(v4),
    v6: v6 === undefined ? undefined : parsePrefix(v6),
    attributes: parseAttributes(JSON.stringify(attributes), key),
    expiresAt,
    node: undefined,
    ...(since === undefined ? {} : { since }),
  };
}

async function readJson<T>(path: string): Promise<T | undefined> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as T;
  } catch {
    return undefined;
  }
}

/** What a disk that was full or a hand that slipped left is no MAC. */
function parseMacOrUndefined(text: unknown): string | undefined {
  return typeof text === 'string' && parseMac(text) ? text : undefined;
}
