import { hasCode, messageOf, toError } from '../../../base/errors.ts';
import { addressInUse } from '../../lease/lease.ts';
import { HEARTBEAT_MS, LIVENESS_TTL_MS } from '../node-identity.ts';
import type { EtcdClient } from './client.ts';

/**
 * Heartbeat of this node: the key `<prefix>/ripstop/nodes/<public address>` under a lease of 30 s, by which two nodes with one
 * address are distinguished. flannel reads only `<prefix>/subnets`.
 */
export class EtcdLiveness {
  readonly #client: EtcdClient;
  readonly #root: string;
  readonly #token: string;
  readonly #lost: (error: Error) => void;
  #key: string | undefined;
  #lease: string | undefined;
  /** The lease of the address that the node had before, until `settle`. */
  #former: string | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;
  /** Why the last beat failed. */
  failing: string | undefined;

  constructor(client: EtcdClient, root: string, token: string, lost: (error: Error) => void) {
    this.#client = client;
    this.#root = root;
    this.#token = token;
    this.#lost = lost;
  }

  /**
   * Takes the address for this node. A former one stays ours until `settle`: by it the node finds its lease.
   * @throws RipstopError EINUSE when another live node has the address
   */
  async claim(identity: string): Promise<void> {
    const key = this.#root + identity;
    if (this.#key !== key) {
      this.#former ??= this.#lease;
      this.#lease = undefined;
    }
    await this.#put(key);
    this.#key = key;
    this.#timer ??= setInterval(() => void this.#beat(), HEARTBEAT_MS);
  }

  /** The lease is written under the new address: the former one is free for others. */
  async settle(): Promise<void> {
    const former = this.#former;
    this.#former = undefined;
    if (former) await this.#client.revoke(former).catch(() => {});
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#timer);
    await this.settle();
    if (this.#lease) await this.#client.revoke(this.#lease).catch(() => {});
  }

  async #put(key: string): Promise<void> {
    const held = await this.#client.get(key);
    if (held && held.value.toString() !== this.#token) throw addressInUse(held.value.toString(), key);
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

  async #beat(): Promise<void> {
    try {
      if (this.#key && !this.#isClosed) await this.#put(this.#key);
      this.failing = undefined;
    } catch (error) {
      this.failing = messageOf(error);
      // The watch reports a store that is unreachable. The next beat retries.
      if (hasCode(error, 'EINUSE')) this.#lost(toError(error));
    }
  }
}
