import { type FSWatcher, watch } from 'node:fs';
import { stat } from 'node:fs/promises';
import { pause } from '../../base/backoff.ts';
import { monotonicMs } from '../../base/clock.ts';
import { hasCode, messageOf, RipstopError, toError } from '../../base/errors.ts';
import { withLockFile } from '../../base/file-lock.ts';
import { nextAction } from '../lease/acquire.ts';
import { addressInUse, formatKey, identityOf, type Lease } from '../lease/lease.ts';
import type { KnownLeases, LeaseRequest, LeaseStore, StoreObserver } from '../lease/store.ts';
import { FailingWrites } from './failing-writes.ts';
import { FileLiveness } from './file-liveness.ts';
import { GATHER_MS, LeaseBook } from './lease-book.ts';
import { emptiness, type LeaseFile, openTable, type TableContent } from './lease-file.ts';
import { leaseJson, readLease } from './lease-text.ts';
import { describeOtherBoot, HEARTBEAT_MS, nodeToken } from './node-identity.ts';
import { Unreadable } from './unreadable.ts';

export interface FileStoreOptions {
  /** Shared directory, or one file whose name ends in `.json`. */
  readonly path: string;
  readonly nodeName: string;
  /** Duration of a lease, ms. */
  readonly ttlMs?: number;
  /** How long a lease must appear expired before it counts as ended, ms. */
  readonly graceMs?: number;
  /** Interval of the poll, ms; inotify does not report writes of other machines on a shared mount. */
  readonly pollMs?: number;
  /** Interval of the heartbeats, ms. */
  readonly heartbeatMs?: number;
}

/** Interval at which the heartbeat of another boot is looked at, ms. */
const LOOK_MS = 1000;
/** Age of a temporary file that its writer has left for good, ms. */
const OLD_TEMP_MS = 10 * 60_000;
/** Names of what is written, for messages. */
const HEARTBEAT = 'heartbeat';
const LEASE = 'lease of this node';

/** Leases in files: the store that needs no server. Several agents may share it, on one machine or on a shared mount. */
export class FileStore implements LeaseStore {
  readonly kind = 'file';
  readonly location: string;
  readonly allocates = true;
  readonly unreadable = new Unreadable();
  readonly failing = new FailingWrites(() => this.#observer);
  readonly #table: LeaseFile;
  readonly #token: string;
  readonly #ttlMs: number;
  readonly #pollMs: number;
  readonly #heartbeatMs: number;
  readonly #graceMs: number;
  /** Since when a lease appears expired, monotonic ms. */
  readonly #overSince = new Map<string, number>();
  #observer: StoreObserver | undefined;
  readonly #liveness: FileLiveness;
  #beating: NodeJS.Timeout | undefined;
  #watchers: FSWatcher[] = [];
  #book: LeaseBook | undefined;
  /** Key of this node's lease. */
  #own: string | undefined;
  /** Leases as they were parsed, by key: an unchanged text is not parsed again. */
  readonly #parsed = new Map<string, { text: string; lease: Lease | Error }>();
  /** Keys whose files changed since they were read. */
  readonly #dirty = new Set<string>();
  #gathering: NodeJS.Timeout | undefined;
  #polling: NodeJS.Timeout | undefined;
  /** Null: not read yet. */
  #lastConfig: string | undefined | null = null;
  #isUp: boolean | undefined;
  #refreshing: Promise<void> | undefined;
  /** Everything is read again after the present reading. */
  #isStale = false;
  #isClosed = false;

  constructor(options: FileStoreOptions) {
    this.location = options.path;
    this.#table = openTable(options.path);
    this.#token = nodeToken(options.nodeName);
    this.#liveness = new FileLiveness(this.#table.presencePath, this.#token);
    this.#ttlMs = options.ttlMs ?? 24 * 3600_000;
    this.#pollMs = options.pollMs ?? 2000;
    this.#heartbeatMs = options.heartbeatMs ?? HEARTBEAT_MS;
    this.#graceMs = options.graceMs ?? 2 * HEARTBEAT_MS;
  }

  async networkConfig(): Promise<{ text: string; source: string }> {
    this.#table.allowMissing?.();
    const { config } = await this.#try(() => this.#table.read());
    const source = this.#table.configName;
    // A text that is there again is news, whatever it is.
    this.#lastConfig = config;
    if (config === undefined)
      throw new RipstopError(
        'ECONFIG',
        `${source} does not exist`,
        'write the network configuration there (net-conf.json)',
      );
    return { text: config, source };
  }

  async acquire(request: LeaseRequest): Promise<Lease> {
    const identity = identityOf(request.attributes);
    await this.#outlastOtherBoot(identity, request);
    return this.#locked(async () => {
      await this.#table.removeOldTemps(Date.now() + this.#liveness.skewMs - OLD_TEMP_MS);
      const all = await this.#leases(await this.#table.read());
      const step = nextAction(request, all, this.#token);
      await this.#liveness.claim(identity);
      const held = { attributes: request.attributes, node: this.#token };
      if (step.do === 'keep') {
        const { lease } = step;
        return this.#put({ ...lease, ...held, expiresAt: lease.expiresAt === 0 ? 0 : this.#end() });
      }
      for (const stale of step.drop) await this.#table.remove(stale.key);
      const { subnets } = step;
      return this.#put({ ...subnets, ...held, key: formatKey(subnets), expiresAt: this.#end() });
    });
  }

  async renew(lease: Lease): Promise<Lease | undefined> {
    return this.#locked(async () => {
      const all = await this.#leases(await this.#table.read());
      const held = all.find(candidate => candidate.key === lease.key);
      if (!held || identityOf(held.attributes) !== identityOf(lease.attributes)) return undefined;
      return this.#put({ ...held, expiresAt: held.expiresAt === 0 ? 0 : this.#end() });
    });
  }

  follow(observer: StoreObserver, known?: KnownLeases): void {
    this.#observer = observer;
    for (const path of this.#table.watched) {
      try {
        const watcher = watch(path, (_event, name) => this.#hear(path, name));
        watcher.on('error', () => watcher.close());
        this.#watchers.push(watcher);
      } catch {
        // No inotify here (limit reached, or a file system without it): the poll finds changes.
      }
    }
    this.#own ??= known?.own;
    this.#book = new LeaseBook(observer, known);
    this.#book.own = this.#own;
    this.#beating = setInterval(() => void this.#heartbeat(), this.#heartbeatMs);
    this.#refresh();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#beating);
    clearTimeout(this.#gathering);
    clearTimeout(this.#polling);
    this.#book?.close();
    for (const watcher of this.#watchers) watcher.close();
    await this.#refreshing;
    await this.#liveness.close();
  }

  /** Gathers changes in the watched directories and reads them together. */
  #hear(path: string, name: string | null): void {
    const meaning = this.#table.meaning(path, name);
    if (meaning === 'nothing' || this.#isClosed) return;
    if (meaning === 'all' || !this.#table.readSome) this.#isStale = true;
    else this.#dirty.add(meaning.key);
    this.#gathering ??= setTimeout(() => {
      this.#gathering = undefined;
      this.#refresh(this.#isStale);
    }, GATHER_MS);
  }

  /** Reads the changes, or everything, and reports them; calls during a reading lead to one further reading. */
  #refresh(all = true): void {
    if (this.#isClosed) return;
    if (this.#refreshing) {
      this.#isStale ||= all;
      return;
    }
    this.#refreshing = this.#readAndTell(all).finally(() => {
      this.#refreshing = undefined;
      if (this.#isStale || this.#dirty.size > 0) this.#refresh(this.#isStale);
    });
  }

  async #readAndTell(all: boolean): Promise<void> {
    const [observer, book] = [this.#observer, this.#book];
    if (!observer || !book) return;
    const from = monotonicMs();
    try {
      if (all) this.#isStale = false;
      const dirty = [...this.#dirty];
      this.#dirty.clear();
      const content = all ? await this.#table.read() : undefined;
      const entries = content?.entries ?? (await this.#table.readSome!(dirty));
      const leases = content ? await this.#leases(content) : await this.#leasesOf(entries);
      if (this.#isClosed) return;
      this.#noteUnreadable(entries, all);
      if (this.#isUp !== true) observer.up();
      this.#isUp = true;
      if (content && content.config !== this.#lastConfig) {
        this.#lastConfig = content.config;
        observer.config(content.config);
      }
      if (content) book.replace(leases, emptiness(content, this.#own, this.#table.configName));
      else {
        const there = new Set(leases.map(lease => lease.key));
        const gone = dirty.filter(key => !there.has(key));
        // All others are gone, or the store was emptied: a whole reading decides.
        this.#isStale ||=
          gone.length > 0 && (gone.some(key => key === this.#own) || book.isEmptyWithout(gone));
        if (this.#isStale) return;
        for (const key of gone) book.delete(key);
        for (const lease of leases) book.put(lease);
      }
      book.flush();
    } catch (error) {
      if (!this.#isClosed && this.#isUp !== false) observer.down(toError(error));
      this.#isUp = false;
    }
    if (all) this.#pollAfter(monotonicMs() - from);
  }

  /** Reports the entries that are not leases. @param all `entries` are all that there are */
  #noteUnreadable(entries: ReadonlyMap<string, string | undefined>, all: boolean): void {
    if (all) this.unreadable.keep(key => entries.has(key));
    for (const [key, text] of entries) {
      const lease = text === undefined ? undefined : this.#parsed.get(key)?.lease;
      if (lease instanceof Error) this.unreadable.note(key, lease, this.#observer);
      else this.unreadable.delete(key);
    }
  }

  /** The poll uses at most 2 % of the time, whatever the number of leases. */
  #pollAfter(tookMs: number): void {
    clearTimeout(this.#polling);
    if (this.#isClosed) return;
    this.#polling = setTimeout(() => this.#refresh(), Math.max(this.#pollMs, tookMs * 50));
  }

  async #leases({ entries }: TableContent): Promise<Lease[]> {
    for (const key of this.#parsed.keys()) if (!entries.has(key)) this.#parsed.delete(key);
    return this.#leasesOf(entries);
  }

  async #leasesOf(entries: ReadonlyMap<string, string | undefined>): Promise<Lease[]> {
    /** Holders by public address. */
    const alive = new Map<string, string | undefined>();
    const leases: Lease[] = [];
    for (const [key, text] of entries) {
      if (text === undefined) continue;
      const lease = this.#parse(key, text);
      if (!lease) continue;
      const identity = identityOf(lease.attributes);
      if (!alive.has(identity)) alive.set(identity, await this.#liveness.holderOf(identity));
      const node = alive.get(identity);
      if (this.#hasEnded(lease, node)) continue;
      leases.push({ ...lease, node });
    }
    return leases;
  }

  /**
   * A lease has ended when it is expired and its holder has no heartbeat, both for a while: after a jump of a wall clock
   * every lease appears expired and every heartbeat old until the next heartbeat.
   */
  #hasEnded({ key, expiresAt }: Lease, holder: string | undefined): boolean {
    if (!expiresAt || expiresAt > Date.now() || holder !== undefined) {
      this.#overSince.delete(key);
      return false;
    }
    const since = this.#overSince.get(key) ?? monotonicMs();
    this.#overSince.set(key, since);
    return monotonicMs() - since >= this.#graceMs;
  }

  #parse(key: string, text: string): Lease | undefined {
    let known = this.#parsed.get(key);
    if (known?.text !== text) {
      known = { text, lease: readLease(`${this.location}: ${key}`, key, text) };
      this.#parsed.set(key, known);
    }
    return known.lease instanceof Error ? undefined : known.lease;
  }

  async #put(lease: Lease): Promise<Lease> {
    this.#own = lease.key;
    if (this.#book) this.#book.own = lease.key;
    // The clock of the file server: those of two nodes may differ.
    await this.#table.put(lease.key, leaseJson(lease, Date.now() + this.#liveness.skewMs));
    return lease;
  }

  #end(): number {
    return Date.now() + this.#ttlMs;
  }

  /** Waits while the heartbeat of this node before a reboot is fresh. @throws RipstopError EINUSE when it is renewed meanwhile */
  async #outlastOtherBoot(identity: string, { waiting, signal }: LeaseRequest): Promise<void> {
    if (!(await this.#liveness.otherBoot(identity))) return;
    for (let last = -1; ; ) {
      // The lock shows the clock of the file server.
      const beat = await this.#locked(() => this.#liveness.otherBoot(identity));
      if (!beat) return;
      const { token, silentMs } = beat;
      if (silentMs < last || signal?.aborted) throw addressInUse(token, identity);
      if (last < 0) waiting?.(describeOtherBoot(token, silentMs));
      last = silentMs;
      await pause(LOOK_MS, signal ?? new AbortController().signal);
    }
  }

  /** Writes the heartbeat, and looks whether the lease could be written. */
  async #heartbeat(): Promise<void> {
    if (this.#isClosed) return;
    await this.#tryWrite(HEARTBEAT, () => this.#liveness.beat());
    await this.#tryWrite(LEASE, () => this.#table.checkWritable());
  }

  async #tryWrite(what: string, write: () => Promise<void>): Promise<void> {
    try {
      await write();
      this.failing.worked(what);
    } catch (error) {
      if (hasCode(error, 'EINUSE')) this.#observer?.conflict(error);
      this.failing.failed(what, error);
    }
  }

  async #locked<T>(work: () => Promise<T>): Promise<T> {
    return this.#try(async () => {
      await this.#table.prepare();
      return withLockFile(this.#table.lockPath, async () => {
        this.#liveness.skewMs = (await stat(this.#table.lockPath)).mtimeMs - Date.now();
        return work();
      });
    });
  }

  /** Errors of the file system become ESTORE with the location. */
  async #try<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (error instanceof RipstopError) throw error;
      throw new RipstopError(
        'ESTORE',
        `${this.location}: ${messageOf(error)}`,
        'is the directory there and writable?',
        { cause: error },
      );
    }
  }
}
