import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseMac } from '../../encap/wire/addresses.ts';
import type { Link } from '../net/links.ts';
import { writeFileAtomic } from './atomic-file.ts';
import { formatCidr, parseCidr } from './lease/cidr.ts';
import { formatAttributes, type Lease, parseAttributes } from './lease/lease.ts';
import type { Overrides } from './lease/store.ts';
import type { VtepMacs } from './overlay-plan.ts';
import type { UnderlayHistory } from './underlay-chooser.ts';

/** The network configuration as the store has it, and its name for messages. */
export interface ConfigText {
  readonly text: string;
  readonly source: string;
}

/** What the agent last knew; enough to carry on while the store is away, and at a start until it has answered. */
export interface LastKnown {
  /** `place` of the store that said it. */
  readonly store: string;
  readonly config: ConfigText;
  readonly lease: Lease;
  readonly leases: readonly Lease[];
  /** What the store said of this node. */
  readonly overrides: Overrides;
  readonly underlay?: UnderlayHistory | undefined;
}

interface StoredLease {
  key: string;
  v4?: string;
  v6?: string;
  attributes: unknown;
  expiresAt?: number;
}

/**
 * What outlives the agent in its state directory: the VTEP MACs, so that a restart changes nothing for peers, and the
 * last known state. The directory is a tmpfs: after a reboot there is neither, and the node begins anew.
 */
export class Memory {
  readonly #directory: string;
  #lastText = '';

  constructor(directory: string) {
    this.#directory = directory;
  }

  /**
   * The MACs of a former life, or of `known` (the store remembers them), or new ones: local, unicast, random.
   * @param keep remember them for the next life
   */
  async macs(known: { mac?: string; mac6?: string }, keep = true): Promise<VtepMacs> {
    const path = join(this.#directory, 'vtep.json');
    const stored = await readJson<Partial<VtepMacs>>(path);
    const macs = {
      mac4: soundMac(stored?.mac4) ?? known.mac ?? randomMac(),
      mac6: soundMac(stored?.mac6) ?? known.mac6 ?? randomMac(),
    };
    if (keep && (stored?.mac4 !== macs.mac4 || stored.mac6 !== macs.mac6))
      await writeFileAtomic(path, `${JSON.stringify(macs)}\n`, 0o600);
    return macs;
  }

  /** The MACs of a former life; undefined when there was none. */
  async formerMacs(): Promise<VtepMacs | undefined> {
    return readJson<VtepMacs>(join(this.#directory, 'vtep.json'));
  }

  /** Names of the devices that were ever made on this node, for `ripstop cleanup`. */
  async devices(): Promise<string[]> {
    const names = await readJson<unknown>(this.#devicesPath());
    return Array.isArray(names) ? names : [];
  }

  /** Remembers devices, before they are made. */
  async remember(devices: readonly string[]): Promise<void> {
    const known = await this.devices();
    const all = [...new Set([...known, ...devices])].sort();
    if (all.length > known.length)
      await writeFileAtomic(this.#devicesPath(), `${JSON.stringify(all)}\n`, 0o600);
  }

  async load(): Promise<LastKnown | undefined> {
    const stored = await readJson<{
      store: string;
      config: LastKnown['config'];
      lease: StoredLease;
      leases: StoredLease[];
      overrides?: LastKnown['overrides'];
      underlay?: LastKnown['underlay'];
    }>(this.#path());
    if (!stored) return undefined;
    try {
      return {
        store: stored.store,
        config: stored.config,
        lease: thaw(stored.lease),
        leases: stored.leases.map(thaw),
        overrides: stored.overrides ?? {},
        underlay: stored.underlay,
      };
    } catch {
      // Written by another version: as good as absent.
      return undefined;
    }
  }

  /** Keeps the state when it differs from what was kept last. */
  async save(known: LastKnown): Promise<void> {
    const { store, config, overrides, underlay } = known;
    const leases = known.leases.map(freeze);
    const stored = { store, config, overrides, underlay, lease: freeze(known.lease), leases };
    const text = `${JSON.stringify(stored)}\n`;
    if (text === this.#lastText) return;
    await writeFileAtomic(this.#path(), text, 0o600);
    this.#lastText = text;
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

function freeze(lease: Lease): StoredLease {
  return {
    key: lease.key,
    ...(lease.v4 ? { v4: formatCidr(lease.v4) } : {}),
    ...(lease.v6 ? { v6: formatCidr(lease.v6) } : {}),
    attributes: JSON.parse(formatAttributes(lease.attributes)),
    ...(lease.expiresAt === undefined ? {} : { expiresAt: lease.expiresAt }),
  };
}

function thaw({ key, v4, v6, attributes, expiresAt }: StoredLease): Lease {
  return {
    key,
    v4: v4 === undefined ? undefined : parseCidr(v4),
    v6: v6 === undefined ? undefined : parseCidr(v6),
    attributes: parseAttributes(JSON.stringify(attributes), key),
    expiresAt,
    node: undefined,
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
function soundMac(text: unknown): string | undefined {
  return typeof text === 'string' && parseMac(text) ? text : undefined;
}

function randomMac(): string {
  const bytes = randomBytes(6);
  bytes[0] = (bytes[0]! & 0xfc) | 0x02;
  return [...bytes].map(byte => byte.toString(16).padStart(2, '0')).join(':');
}
