import { PATIENCE_MS } from '../../../bench/lab/until.ts';
import type { NetworkConfig } from '../../../src/agent/config/net-conf.ts';
import { parseNetConf } from '../../../src/agent/config/net-conf.ts';
import type { Lease, LeaseAttributes } from '../../../src/agent/lease/lease.ts';
import type { KeptLeases, LeaseStore, StoreObserver } from '../../../src/agent/lease/store.ts';

/** A network configuration for tests of stores. */
export function netConf(extra: Record<string, unknown> = {}): { text: string; config: NetworkConfig } {
  const text = JSON.stringify({ Network: '10.7.0.0/16', Backend: { Type: 'vxlan' }, ...extra });
  return { text, config: parseNetConf(text, 'test') };
}

/** Attributes of the node with this public address; the MAC's last byte is `mac`. */
export function leaseAttributes(publicIp: string, mac = 1): LeaseAttributes {
  return {
    publicIp,
    publicIpv6: undefined,
    backendType: 'vxlan',
    backendData: { VNI: 1, VtepMAC: `0a:00:00:00:00:${mac.toString(16).padStart(2, '0')}` },
    backendV6Data: undefined,
  };
}

/** Everything a store told, and a wait for what it tells next. */
export class Recorder implements StoreObserver {
  current: readonly Lease[] = [];
  readonly events: string[] = [];
  readonly configs: string[] = [];
  readonly troubles: Error[] = [];
  keptKeys: string[] = [];
  keptWhy = '';
  #waiting: (() => void)[] = [];

  leases(all: ReadonlyMap<string, Lease>): void {
    this.current = [...all.values()];
    this.#note('leases');
  }
  config(text: string): void {
    this.configs.push(text);
    this.#note('config');
  }
  up(): void {
    this.#note('up');
  }
  down(error: Error): void {
    this.troubles.push(error);
    this.#note('down');
  }
  malformed(error: Error): void {
    this.troubles.push(error);
    this.#note('malformed');
  }
  kept(state: KeptLeases | undefined): void {
    this.keptKeys = state ? [...state.keys].sort() : [];
    this.keptWhy = state?.why ?? '';
  }
  conflict(error: Error): void {
    this.troubles.push(error);
    this.#note('conflict');
  }

  keys(): string[] {
    return this.current.map(lease => lease.key).sort();
  }

  /** VTEP MACs of the leases, in no order. */
  macs(): string[] {
    return this.current.map(
      lease => (lease.attributes.backendData as { VtepMAC?: string } | undefined)?.VtepMAC ?? '',
    );
  }

  /** Resolves when `is` holds; fails after `ms` with what was seen. */
  async until(what: string, is: () => boolean, ms = PATIENCE_MS): Promise<void> {
    const end = performance.now() + ms;
    while (!is()) {
      const left = end - performance.now();
      if (left <= 0)
        throw new Error(
          `${what}: not within ${ms} ms; told so far: ${this.events.join(' ')}; ${this.keys()}`,
        );
      await new Promise<void>(resolve => {
        const timer = setTimeout(resolve, Math.min(left, 200));
        this.#waiting.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  #note(event: string): void {
    this.events.push(event);
    for (const wake of this.#waiting.splice(0)) wake();
  }
}

/** Follows a store with a recorder. */
export function record(store: LeaseStore): Recorder {
  const recorder = new Recorder();
  store.follow(recorder);
  return recorder;
}
