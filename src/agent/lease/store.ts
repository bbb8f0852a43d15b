import type { Prefix } from '../../ip/prefix.ts';
import type { NetworkConfig } from '../config/net-conf.ts';
import type { Lease, LeaseAttributes, Subnets } from './lease.ts';

/** The lease that a node requests of a store. */
export interface LeaseRequest {
  readonly config: NetworkConfig;
  readonly attributes: LeaseAttributes;
  /** Subnets of the previous run, from subnet.env. */
  readonly previous: Subnets | undefined;
  /** Networks between the nodes, of which no subnet is taken. */
  readonly avoid?: readonly Prefix[] | undefined;
  /** Called once with the reason when the store waits for some seconds before it decides. */
  readonly waiting?: (why: string) => void;
  /** Ends such a wait. */
  readonly signal?: AbortSignal;
}

/** Reports of a store that is followed. Calls come one at a time, never inside another call of the store. */
export interface StoreObserver {
  /**
   * Leases have changed. Changes within a short time are reported together (`store/lease-book.ts`).
   * @param all every lease by its key, this node's included; the store changes this map in place
   * @param changed keys of the leases that came, changed or went; undefined: any may have
   */
  leases(all: ReadonlyMap<string, Lease>, changed: ReadonlySet<string> | undefined): void;
  /** The network configuration has another text than the last time; undefined: it was deleted. */
  config(text: string | undefined): void;
  /** The store answers again after `down`, or for the first time. */
  up(): void;
  /** The store is unreachable; the last report stays valid. */
  down(error: Error): void;
  /** An entry that is not a lease is skipped; reported once per fault. */
  malformed(error: Error): void;
  /**
   * The store came back empty, and the leases that it lost are kept; they are in `leases`. Called before `leases` whenever
   * they change; undefined: none is kept any more.
   */
  kept?(kept: KeptLeases | undefined): void;
  /** A write failed and is retried; reported once per fault. */
  retrying?(error: Error): void;
  /** A write that failed works again. */
  wrote?(what: string): void;
  /** Another live node uses the public address of this node: the lease is not reliable any more. */
  conflict(error: Error): void;
}

/** Leases that a store lost all at once and that are taken as valid for a while. */
export interface KeptLeases {
  readonly keys: readonly string[];
  /** Wall clock in ms when they are given up. */
  readonly until: number;
  /** What showed that the store was emptied, for messages. */
  readonly why: string;
}

/** What is known of a store before it is followed. */
export interface KnownLeases {
  /** Key of this node's lease. */
  readonly own: string;
  /** Leases of an earlier run, and those of them that were kept then. */
  readonly leases: ReadonlyMap<string, Lease>;
  readonly kept?: KeptLeases | undefined;
}

/** A message about the node; a store that can (Kubernetes Events) records it. */
export interface NodeEvent {
  readonly type: 'Normal' | 'Warning';
  /** CamelCase word as in `kubectl get events`. */
  readonly reason: string;
  readonly message: string;
}

/** What a store or an operator sets for this node before it has a lease. */
export interface NodeOverrides {
  /** In the place of --public-ip: chooses the interface as well. */
  readonly publicIp?: string;
  readonly publicIpv6?: string;
  /** Published in the place of the address in use; nothing else follows from it. */
  readonly overwriteIp?: string;
  readonly overwriteIpv6?: string;
  readonly mac?: string;
  readonly mac6?: string;
  /** Public addresses that the store has for this node from an earlier start, as long as nothing replaces them. */
  readonly publishedIp?: string;
  readonly publishedIpv6?: string;
  /** Another one after the node joined another cluster, or was registered again, under the same name and address. */
  readonly nodeUid?: string;
}

/**
 * Where nodes find one another. Every method fails with a RipstopError: ESTORE when the store cannot be reached
 * (try again later), EREFUSED when it can and says no, ENOLEASE when it has no subnet for this node yet, EBUSY when others
 * were always quicker, EINUSE when another node holds this node's public address, ERANGE when no subnet is free,
 * ECONFIG when the configuration is missing or wrong.
 */
export interface LeaseStore {
  readonly kind: 'file' | 'etcd' | 'kubernetes' | 'static';
  /** Where it is, for messages: a path, endpoints, a URL. */
  readonly location: string;
  /** False when the store hands out subnets itself and the ranges of the configuration mean nothing. */
  readonly allocates: boolean;
  /** Entries that are not leases, by name, with the fault; as of the last reading. */
  readonly unreadable: ReadonlyMap<string, string>;
  /** Text of the network configuration, and its name for messages. */
  networkConfig(): Promise<{ text: string; source: string }>;
  /** The network configuration of a store that has its own format; absent: the text is flannel's net-conf.json. */
  parseConfig?(): NetworkConfig;
  /** Leases that are known without asking anyone. */
  readonly leases?: ReadonlyMap<string, Lease>;
  /**
   * Reads what a person changed (SIGHUP); absent: the store notices it itself. The observer is not told: afterwards,
   * `networkConfig` and `leases` are new.
   * @param check throws when this node cannot follow the configuration; then nothing changes
   * @throws RipstopError ECONFIG, and what `check` throws
   */
  reload?(check: (config: NetworkConfig) => void): Promise<void>;
  /** Takes the node's lease, or takes it over again. Calling it once more is how attributes change. */
  acquire(request: LeaseRequest): Promise<Lease>;
  /** Prolongs a lease. Resolves to undefined when it is gone (expired, or deleted by an operator). */
  renew(lease: Lease): Promise<Lease | undefined>;
  /** Starts the reports; called at most once. Reconnects by itself until `close`. */
  follow(observer: StoreObserver, known?: KnownLeases): void;
  /** This node's addresses changed: connections that began at the old ones would stay silent for long. */
  reconnect?(): void;
  /** What the store or an operator overrides for this node, before the lease is taken. */
  overrides?(): Promise<NodeOverrides>;
  /**
   * Packets can flow. A store that can records it (the Node's condition, an Event with `message`) and maintains the
   * record.
   */
  ready?(message: string): void;
  /** Writes that do not hold at the moment, by what they write, with the reason; each is tried again. */
  readonly failing?: ReadonlyMap<string, string>;
  /** What the store does not permit this node, with what the node works without because of that. */
  readonly lacking?: readonly string[];
  /** Records an event of this node for a person; never fails. */
  recordEvent?(event: NodeEvent): Promise<void>;
  close(): Promise<void>;
}
