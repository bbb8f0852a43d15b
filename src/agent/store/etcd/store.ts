import { Backoff } from '../../../base/backoff.ts';
import { RipstopError } from '../../../base/errors.ts';
import { losesTieBreak, nextAction } from '../../lease/acquire.ts';
import {
  formatAttributes,
  formatKey,
  identityOf,
  type Lease,
  type LeaseAttributes,
  parseAttributes,
  parseKey,
  type Subnets,
  tooLarge,
} from '../../lease/lease.ts';
import { addTo, deleteFrom } from '../../lease/set-map.ts';
import type { KnownLeases, LeaseRequest, LeaseStore, StoreObserver } from '../../lease/store.ts';
import { FailingWrites } from '../failing-writes.ts';
import { LeaseBook } from '../lease-book.ts';
import { HEARTBEAT_MS, nodeToken } from '../node-identity.ts';
import { Unreadable } from '../unreadable.ts';
import { EtcdClient, type EtcdOptions } from './client.ts';
import { isDenied } from './errors.ts';
import { allBelow, type KeyValue, nameBelow, oneKey } from './keys.ts';
import { EtcdLiveness } from './liveness.ts';
import { type KeyPart, listParts } from './parts.ts';
import { EtcdWatcher } from './watcher.ts';

export interface EtcdStoreOptions extends EtcdOptions {
  /** Root of the keys, as flannel's --etcd-prefix. */
  readonly prefix: string;
  readonly nodeName: string;
  /** Duration of a lease, seconds. */
  readonly ttlSeconds?: number;
  /** Interval of the heartbeats, ms. */
  readonly heartbeatMs?: number;
}

/** Attempts to create a lease; each lost race means that another node got a subnet. */
const ATTEMPTS = 10;
const NO_LEASE = '0';
/** Below the prefix: leases, and heartbeats by public address. */
const SUBNETS = 'subnets/';
const NODES = 'ripstop/nodes/';
/** Heartbeats between two checks that the lease could be written: the heartbeat needs another right, and etcd prolongs a lease without any. */
const CHECK_EVERY = 3;
/** Names of what is written, for messages. */
const HEARTBEAT = 'heartbeat';
const LEASE = 'lease of this node';

/** Leases in etcd under flannel's keys `config` and `subnets/<key>`, and heartbeats under `ripstop/nodes/<address>`. */
export class EtcdStore implements LeaseStore {
  readonly kind = 'etcd';
  readonly location: string;
  readonly allocates = true;
  readonly unreadable = new Unreadable();
  readonly failing = new FailingWrites(() => this.#observer);
  readonly #client: EtcdClient;
  readonly #root: string;
  /** What is read: flannel's keys, and the heartbeats where the role permits it. */
  readonly #parts: readonly KeyPart[];
  readonly #leaseParts: readonly KeyPart[];
  readonly #token: string;
  readonly #ttlSeconds: number;
  readonly #presence: EtcdLiveness;
  #observer: StoreObserver | undefined;
  #mirror: EtcdWatcher | undefined;
  /** Null: not read yet. */
  #lastConfig: string | undefined | null = null;
  #book: LeaseBook | undefined;
  /** Key of this node's lease. */
  #own: string | undefined;
  /** Heartbeats until the next check of writes. */
  #untilCheck = 0;
  /** The role may not read the heartbeats. */
  #cannotReadNodes = false;
  /** Tokens of the nodes with a heartbeat, by public address. */
  readonly #holders = new Map<string, string>();
  /** Keys of the leases of each public address. */
  readonly #keysOf = new Map<string, Set<string>>();

  constructor(options: EtcdStoreOptions) {
    this.#root = `${options.prefix.replace(/\/+$/, '')}/`;
    this.location = `etcd ${options.endpoints.join(',')} ${this.#root}`;
    this.#client = new EtcdClient(options);
    this.#token = nodeToken(options.nodeName);
    this.#ttlSeconds = options.ttlSeconds ?? 24 * 3600;
    const subnets = { range: allBelow(this.#root + SUBNETS), isOptional: false };
    const nodes = { range: allBelow(this.#root + NODES), isOptional: true };
    this.#leaseParts = [subnets, nodes];
    this.#parts = [{ range: oneKey(`${this.#root}config`), isOptional: false }, subnets, nodes];
    this.#presence = new EtcdLiveness(this.#client, this.#root + NODES, this.#token, {
      lost: error => this.#observer?.conflict(error),
      beaten: error => void this.#noteBeat(error),
      permitted: () => this.#mirror?.refresh(),
      everyMs: options.heartbeatMs ?? HEARTBEAT_MS,
    });
  }

  get lacking(): readonly string[] {
    if (!this.#presence.isDenied && !this.#cannotReadNodes) return [];
    return [
      `the role of --etcd-username may not read and write ${this.#root}${NODES}: this node works without heartbeats, ` +
        'so that a second node with the same public address is not noticed, and the nodes of leases have no names; ' +
        `permit it with: etcdctl role grant-permission ROLE readwrite --prefix ${this.#root}${NODES}`,
    ];
  }

  async networkConfig(): Promise<{ text: string; source: string }> {
    const key = `${this.#root}config`;
    const kv = await this.#client.get(key);
    // A text that is there again is news, whatever it is.
    const text = kv && textOf(kv);
    this.#lastConfig = text;
    if (text === undefined)
      throw new RipstopError(
        'ECONFIG',
        `${key} does not exist in etcd`,
        `write it: etcdctl put ${key} "$(cat net-conf.json)"`,
      );
    return { text, source: `etcd ${key}` };
  }

  async acquire(request: LeaseRequest): Promise<Lease> {
    await this.#presence.claim(identityOf(request.attributes), request);
    const backoff = new Backoff(20, 1000);
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const lease = await this.#attempt(request);
      if (lease) {
        this.#own = lease.key;
        if (this.#book) this.#book.own = lease.key;
        this.failing.worked(LEASE);
        await this.#presence.settle();
        return lease;
      }
      await backoff.wait(new AbortController().signal);
    }
    throw new RipstopError(
      'EBUSY',
      `etcd: lost the race for a subnet ${ATTEMPTS} times`,
      'is the range nearly full?',
    );
  }

  /** One attempt. Undefined when another node was faster. */
  async #attempt(request: LeaseRequest): Promise<Lease | undefined> {
    const { kvs } = await listParts(this.#client, this.#leaseParts);
    const entries = new Map(kvs.map(kv => [this.#relative(kv), kv]));
    const step = nextAction(request, this.#leases(entries), this.#token);
    if (step.do === 'keep')
      return this.#keep(step.lease, entries.get(SUBNETS + step.lease.key)!, request.attributes);
    for (const stale of step.drop) await this.#client.delete(this.#path(stale.key));
    return this.#create(step.subnets, request.attributes);
  }

  async #keep(lease: Lease, kv: KeyValue, attributes: LeaseAttributes): Promise<Lease | undefined> {
    const path = this.#path(lease.key);
    const value = formatAttributes(attributes);
    // A key without an etcd lease is an operator's reservation: it stays one.
    const isReserved = kv.lease === NO_LEASE;
    let seconds = isReserved ? 0 : await this.#client.keepAlive(kv.lease);
    let grant = kv.lease;
    // It has ended, or an operator gave the key a shorter one.
    if (!isReserved && seconds < this.#ttlSeconds) {
      grant = await this.#client.grant(this.#ttlSeconds);
      seconds = this.#ttlSeconds;
    }
    if (grant !== kv.lease || kv.value.toString() !== value) {
      const unchanged = { key: path, result: 'EQUAL', target: 'MOD', modRevision: kv.modRevision } as const;
      if (!(await this.#client.transact([unchanged], [{ put: path, value, lease: grant }]))) {
        if (grant !== kv.lease) await this.#client.revoke(grant);
        return undefined;
      }
    }
    return {
      ...lease,
      attributes,
      expiresAt: isReserved ? 0 : Date.now() + seconds * 1000,
      node: this.#token,
      term: grant,
    };
  }

  async #create(subnets: Subnets, attributes: LeaseAttributes): Promise<Lease | undefined> {
    const key = formatKey(subnets);
    const path = this.#path(key);
    const grant = await this.#client.grant(this.#ttlSeconds);
    const absent = { key: path, result: 'EQUAL', target: 'VERSION', version: '0' } as const;
    const revision = await this.#client.transact(
      [absent],
      [{ put: path, value: formatAttributes(attributes), lease: grant }],
    );
    if (revision) {
      // The key protects only the combination of both halves. A second list shows an overlap in one half; the lease with
      // the higher creation revision is given up.
      const { kvs } = await this.#client.list(allBelow(this.#root + SUBNETS));
      const earlier = kvs.filter(kv => BigInt(kv.createRevision) < BigInt(revision));
      const rivals = this.#leases(new Map(earlier.map(kv => [this.#relative(kv), kv])));
      if (!losesTieBreak(subnets, rivals, attributes))
        return {
          ...subnets,
          key,
          attributes,
          expiresAt: Date.now() + this.#ttlSeconds * 1000,
          node: this.#token,
          term: grant,
        };
    }
    await this.#client.revoke(grant);
    return undefined;
  }

  async renew(lease: Lease): Promise<Lease | undefined> {
    const kv = await this.#client.get(this.#path(lease.key));
    if (!kv) return undefined;
    const held = this.#parse(lease.key, kv);
    if (!held || identityOf(held.attributes) !== identityOf(lease.attributes)) return undefined;
    return this.#keep(lease, kv, held.attributes);
  }

  follow(observer: StoreObserver, known?: KnownLeases): void {
    this.#observer = observer;
    const book = new LeaseBook(observer, known);
    book.own = this.#own ?? known?.own;
    this.#book = book;
    this.#mirror = new EtcdWatcher(this.#client, this.#parts, {
      up: () => observer.up(),
      down: error => observer.down(error),
      replaced: (kvs, emptied, denied) => {
        this.#cannotReadNodes = denied.size > 0;
        this.#replace(new Map(kvs.map(kv => [this.#relative(kv), kv])), emptied, book, observer);
      },
      changed: (kv, isDeleted) =>
        this.#change(this.#relative(kv), isDeleted ? undefined : kv, book, observer),
    });
  }

  reconnect(): void {
    this.#client.reconnect();
    this.#mirror?.reconnect();
  }

  async close(): Promise<void> {
    this.#book?.close();
    await this.#mirror?.close();
    await this.#presence.close();
    this.#client.close();
  }

  #replace(
    entries: ReadonlyMap<string, KeyValue>,
    emptied: string | undefined,
    book: LeaseBook,
    observer: StoreObserver,
  ): void {
    this.#follow(entries.get('config'), observer);
    this.#holders.clear();
    this.#keysOf.clear();
    for (const [name, kv] of entries)
      if (name.startsWith(NODES)) this.#holders.set(name.slice(NODES.length), kv.value.toString());
    this.unreadable.keep(key => entries.has(`${SUBNETS}${key}`));
    const leases = this.#leases(entries, true);
    for (const { key, attributes } of leases) addTo(this.#keysOf, identityOf(attributes), key);
    book.replace(leases, emptied);
    book.flush();
  }

  #change(name: string, kv: KeyValue | undefined, book: LeaseBook, observer: StoreObserver): void {
    if (name === 'config') this.#follow(kv, observer);
    if (name.startsWith(NODES)) {
      const identity = name.slice(NODES.length);
      if (this.#presence.isTouchedBy(identity, kv)) void this.#presence.beat();
      if (kv) this.#holders.set(identity, kv.value.toString());
      else this.#holders.delete(identity);
      for (const key of this.#keysOf.get(identity) ?? []) {
        const lease = book.leases.get(key);
        if (lease) book.put({ ...lease, node: this.#holders.get(identity) });
      }
    }
    if (!name.startsWith(SUBNETS)) return;
    const key = name.slice(SUBNETS.length);
    const former = book.leases.get(key);
    if (former) deleteFrom(this.#keysOf, identityOf(former.attributes), key);
    const lease = kv && this.#parse(key, kv, true);
    if (lease || !kv) this.unreadable.delete(key);
    if (!lease) {
      book.delete(key);
      return;
    }
    const identity = identityOf(lease.attributes);
    addTo(this.#keysOf, identity, key);
    book.put({ ...lease, node: this.#holders.get(identity) });
  }

  #follow(kv: KeyValue | undefined, observer: StoreObserver): void {
    const config = kv && textOf(kv);
    if (config === this.#lastConfig) return;
    this.#lastConfig = config;
    observer.config(config);
  }

  /** @param isFollowed entries that are not leases are reported */
  #leases(entries: ReadonlyMap<string, KeyValue>, isFollowed = false): Lease[] {
    const leases: Lease[] = [];
    for (const [name, kv] of entries) {
      if (!name.startsWith(SUBNETS)) continue;
      const lease = this.#parse(name.slice(SUBNETS.length), kv, isFollowed);
      if (!lease) continue;
      const holder = entries.get(`${NODES}${identityOf(lease.attributes)}`)?.value.toString();
      leases.push({ ...lease, node: holder });
    }
    return leases;
  }

  #parse(key: string, kv: KeyValue, isFollowed = false): Lease | undefined {
    const where = `etcd ${this.#path(key)}`;
    try {
      const subnets = parseKey(key);
      if (!subnets) throw new RipstopError('ELEASE', `${where} is not a subnet`);
      if (kv.omitted !== undefined) throw tooLarge(where, kv.omitted);
      const attributes = parseAttributes(kv.value.toString(), where);
      return {
        ...subnets,
        key,
        attributes,
        expiresAt: kv.lease === NO_LEASE ? 0 : undefined,
        node: undefined,
        since: Number(kv.createRevision),
        ...(key === this.#own ? { term: kv.lease } : {}),
      };
    } catch (error) {
      if (isFollowed) this.unreadable.note(key, error, this.#observer);
      return undefined;
    }
  }

  #path(key: string): string {
    return this.#root + SUBNETS + key;
  }

  #relative(kv: KeyValue): string {
    return nameBelow(this.#root, kv);
  }

  /** After each heartbeat: reports whether it and the lease can be written. */
  async #noteBeat(error: unknown): Promise<void> {
    if (error === undefined || isDenied(error)) this.failing.worked(HEARTBEAT);
    else this.failing.failed(HEARTBEAT, error);
    const isDue = this.failing.size > 0 || --this.#untilCheck < 0;
    if (!isDue || this.#own === undefined) return;
    this.#untilCheck = CHECK_EVERY - 1;
    try {
      await this.#client.tryWrite(this.#path(this.#own));
      this.failing.worked(LEASE);
    } catch (failure) {
      this.failing.failed(LEASE, failure);
    }
  }
}

/** A value as text. One that is too large to be read is replaced by a text that names its size. */
function textOf({ value, omitted }: KeyValue): string {
  return omitted === undefined ? value.toString() : `(a value of ${omitted} bytes)`;
}
