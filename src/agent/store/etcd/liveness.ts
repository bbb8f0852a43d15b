import { pause } from '../../../base/backoff.ts';
import { hasCode, toError } from '../../../base/errors.ts';
import { addressInUse } from '../../lease/lease.ts';
import type { LeaseRequest } from '../../lease/store.ts';
import { describeOtherBoot, FORMER_BOOT_TTL_MS, isOtherBoot, LIVENESS_TTL_MS } from '../node-identity.ts';
import type { EtcdClient } from './client.ts';
import { isDenied } from './errors.ts';
import type { KeyValue } from './keys.ts';

/** Interval at which the heartbeat of another boot is looked at, ms. */
const LOOK_MS = 1000;

/** What `EtcdLiveness` reports, and how often it writes. */
export interface LivenessEvents {
  /** Interval of the heartbeats, ms. */
  readonly everyMs: number;
  /** Another live node has the address. */
  lost(error: Error): void;
  /** A heartbeat was written, or could not be; undefined: it was. Also called when nothing changed. */
  beaten(error: unknown): void;
  /** The role may write and read heartbeats again. */
  permitted(): void;
}

/**
 * Heartbeat of this node: the key `<prefix>/ripstop/nodes/<public address>` under a lease of 30 s, by which two nodes with one
 * address are distinguished. flannel reads only `<prefix>/subnets`, and a role that was made for it has no right to this
 * key: the node then works without heartbeats.
 */
export class EtcdLiveness {
  readonly #client: EtcdClient;
  readonly #root: string;
  readonly #token: string;
  readonly #events: LivenessEvents;
  #key: string | undefined;
  #lease: string | undefined;
  /** The lease of the address that the node had before, until `settle`. */
  #former: string | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;
  #beating: Promise<void> | undefined;
  /** The role has no right to heartbeats. */
  isDenied = false;

  constructor(client: EtcdClient, root: string, token: string, events: LivenessEvents) {
    this.#client = client;
    this.#root = root;
    this.#token = token;
    this.#events = events;
  }

  /**
   * Takes the address for this node. A former one stays ours until `settle`: by it the node finds its lease.
   * @throws RipstopError EINUSE when another live node has the address
   */
  async claim(identity: string, request: Pick<LeaseRequest, 'waiting' | 'signal'> = {}): Promise<void> {
    const key = this.#root + identity;
    if (this.#key !== key) {
      this.#former ??= this.#lease;
      this.#lease = undefined;
    }
    try {
      await this.#put(key, request);
      this.#permit(true);
    } catch (error) {
      if (!isDenied(error)) throw error;
      this.#permit(false);
    }
    this.#key = key;
    this.#timer ??= setInterval(() => void this.beat(), this.#events.everyMs);
  }

  /** The lease is written under the new address: the former one is free for others. */
  async settle(): Promise<void> {
    const former = this.#former;
    this.#former = undefined;
    if (former) await this.#client.revoke(former).catch(() => {});
  }

  /** Writes the heartbeat now, and reports the result. */
  async beat(): Promise<void> {
    this.#beating ??= this.#beat().finally(() => {
      this.#beating = undefined;
    });
    await this.#beating;
  }

  /** True for a change of this node's heartbeat by others: it must be written again. */
  isTouchedBy(identity: string, kv: KeyValue | undefined): boolean {
    return this.#key === this.#root + identity && kv?.value.toString() !== this.#token;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#timer);
    await this.settle();
    if (this.#lease) await this.#client.revoke(this.#lease).catch(() => {});
  }

  #permit(isPermitted: boolean): void {
    const wasDenied = this.isDenied;
    this.isDenied = !isPermitted;
    if (wasDenied && isPermitted) this.#events.permitted();
  }

  async #put(key: string, request?: Pick<LeaseRequest, 'waiting' | 'signal'>): Promise<void> {
    const held = await this.#client.get(key);
    if (held && held.value.toString() !== this.#token) await this.#outlast(held, key, request);
    if (held && held.lease === this.#lease && (await this.#client.keepAlive(held.lease)) > 0) return;
    const lease = await this.#client.grant(LIVENESS_TTL_MS / 1000);
    const unchanged = held
      ? ({ key, result: 'EQUAL', target: 'MOD', modRevision: held.modRevision } as const)
      : ({ key, result: 'EQUAL', target: 'VERSION', version: '0' } as const);
    if (await this.#client.transact([unchanged], [{ put: key, value: this.#token, lease }])) {
      this.#lease = lease;
      return;
    }
    await this.#client.revoke(lease);
    const winner = await this.#client.get(key);
    if (winner && winner.value.toString() !== this.#token) throw addressInUse(winner.value.toString(), key);
  }

  /**
   * Resolves when the heartbeat of this node before a reboot has been silent for long enough.
   * @throws RipstopError EINUSE when the holder is alive
   */
  async #outlast(
    held: KeyValue,
    key: string,
    request: Pick<LeaseRequest, 'waiting' | 'signal'> | undefined,
  ): Promise<void> {
    const holder = held.value.toString();
    const inUse = addressInUse(holder, key);
    if (!request || !isOtherBoot(holder, this.#token)) throw inUse;
    const signal = request.signal ?? new AbortController().signal;
    for (let last = -1; ; ) {
      const { left, granted } = await this.#client.timeToLive(held.lease);
      // Each heartbeat prolongs the lease to the time that it was granted for.
      const silentMs = left <= 0 ? LIVENESS_TTL_MS : (granted - left) * 1000;
      if (silentMs < last || signal.aborted) throw inUse;
      if (silentMs >= FORMER_BOOT_TTL_MS) return;
      if (last < 0) request.waiting?.(describeOtherBoot(holder, silentMs));
      last = silentMs;
      await pause(LOOK_MS, signal);
    }
  }

  async #beat(): Promise<void> {
    if (!this.#key || this.#isClosed) return;
    try {
      await this.#put(this.#key);
      this.#permit(true);
      this.#events.beaten(undefined);
    } catch (error) {
      if (this.#isClosed) return;
      if (hasCode(error, 'EINUSE')) this.#events.lost(toError(error));
      if (isDenied(error)) this.#permit(false);
      // The next beat tries again.
      this.#events.beaten(error);
    }
  }
}
