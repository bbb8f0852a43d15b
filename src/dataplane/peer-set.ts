import type { Family } from '../../encap/encap.ts';
import { RipstopError } from '../base/errors.ts';
import { type OverlayRules, PeerInputs, type PeerSpec } from './peer-spec.ts';
import type { PathMtus } from './slow-path/path-mtu.ts';
import { PEERS_MAX, type TableCapacity } from './tables/capacity.ts';
import { checkRoom, type TableNeeds } from './tables/validate.ts';
import type { PeerInput, TablesWriter } from './tables/writer.ts';

/** Peers that came or changed, and ids of those that are gone. */
export interface PeerSpecChange {
  readonly set: readonly PeerSpec[];
  readonly removed: readonly string[];
}

/** What the peers of a data plane need beside the tables. */
export interface PeerSetOptions extends OverlayRules {
  readonly mostPeers?: number | undefined;
}

/**
 * The peers of a data plane: what was asked for, what became of it, and what is known of the paths. Works on the control
 * thread; a change costs what its own peers cost.
 */
export class PeerSet {
  readonly #options: PeerSetOptions;
  readonly #writer: TablesWriter;
  readonly #paths: PathMtus;
  readonly #inputs: PeerInputs;
  readonly #grow: (capacity: TableCapacity) => void;
  #specs = new Map<string, PeerSpec>();
  /** Peers whose specification is wrong in itself. */
  readonly #faulty = new Map<string, RipstopError>();
  /** Peers whose path is to be watched, or is another one, as soon as they have a slot. */
  readonly #untracked = new Map<string, { family: Family; moved: boolean }>();

  /** @param grow makes the tables larger */
  constructor(
    options: PeerSetOptions,
    writer: TablesWriter,
    paths: PathMtus,
    grow: (capacity: TableCapacity) => void,
  ) {
    this.#options = options;
    this.#writer = writer;
    this.#paths = paths;
    this.#inputs = new PeerInputs(options);
    this.#grow = grow;
  }

  /** The peers as they were last asked for. */
  get specs(): readonly PeerSpec[] {
    return [...this.#specs.values()];
  }

  /** Peers that are not in the tables, and why. */
  get refused(): ReadonlyMap<string, RipstopError> {
    const refused = new Map(this.#faulty);
    for (const [id, { error }] of this.#writer.refused) refused.set(id, error);
    return refused;
  }

  /**
   * Makes `peers` the whole set.
   * @returns false when a reader has to move on first
   * @throws RipstopError ECONFIG, EOVERLAP, ECAPACITY; the set is unchanged then
   */
  replace(peers: readonly PeerSpec[]): boolean {
    const inputs = peers.map(spec => this.#withPath(spec, this.#inputs.one(spec)));
    this.#makeRoom(this.#writer.ownersOf(inputs).needs);
    const published = this.#writer.publish(inputs);
    for (const [index, spec] of peers.entries()) this.#track(spec, inputs[index]!.family);
    const ids = new Set(peers.map(({ id }) => id));
    for (const id of this.#specs.keys()) if (!ids.has(id)) this.#forget(id);
    this.#specs = new Map(peers.map(spec => [spec.id, spec]));
    this.#faulty.clear();
    return published;
  }

  /** Changes some peers, each for itself; see `refused`. @returns as `replace` */
  change({ set, removed }: PeerSpecChange): boolean {
    for (const id of removed) {
      this.#forget(id);
      this.#specs.delete(id);
    }
    const gone = [...removed];
    const inputs: PeerInput[] = [];
    for (const spec of set) {
      try {
        const input = this.#withPath(spec, this.#inputs.one(spec));
        if (this.#writer.peer(spec.id) !== input) inputs.push(input);
        this.#track(spec, input.family);
        this.#faulty.delete(spec.id);
      } catch (error) {
        if (!(error instanceof RipstopError)) throw error;
        this.#faulty.set(spec.id, error);
        gone.push(spec.id);
      }
      this.#specs.set(spec.id, spec);
    }
    let published = this.#writer.change({ set: inputs, removed: gone });
    while (this.#isFull() && this.#makeMore()) published = this.#writer.change({ set: [], removed: [] });
    return published;
  }

  /** Publishes a peer again: its path takes more or less. @returns as `replace` */
  renew(ids: readonly string[]): boolean {
    const set = ids.map(id => this.#specs.get(id)).filter(spec => spec !== undefined);
    return this.change({ set, removed: [] });
  }

  /** Begins to watch the paths of peers that are new; to be called when a change has been published. */
  trackPaths(): void {
    for (const [id, { family, moved }] of this.#untracked) {
      const slot = this.#writer.slots.of(id);
      if (slot === undefined) continue;
      this.#untracked.delete(id);
      if (moved || !this.#paths.get(slot)) this.#paths.set(slot, family, this.#options.underlayMtu, moved);
    }
  }

  #forget(id: string): void {
    this.#inputs.forget(id);
    this.#faulty.delete(id);
    this.#untracked.delete(id);
  }

  #track({ id, address }: PeerSpec, family: Family): void {
    const former = this.#specs.get(id);
    // What was learnt about the path to another address is not true of this one.
    const moved = former !== undefined && former.address !== address;
    if (!former || moved) this.#untracked.set(id, { family, moved });
  }

  /** With the path MTU that was learnt. */
  #withPath({ id, address }: PeerSpec, input: PeerInput): PeerInput {
    const { underlayMtu, mtu } = this.#options;
    const slot = this.#writer.slots.of(id);
    if (slot === undefined || this.#specs.get(id)?.address !== address) return input;
    const lowered = this.#paths.get(slot);
    if (!lowered || lowered.pathMtu >= underlayMtu) return input;
    return { ...input, pathMtu: lowered.pathMtu, innerMtu: Math.min(mtu, lowered.innerMtu) };
  }

  get #most(): number {
    return Math.min(PEERS_MAX, this.#options.mostPeers ?? PEERS_MAX);
  }

  #isFull(): boolean {
    for (const { error } of this.#writer.refused.values()) if (error.code === 'ECAPACITY') return true;
    return false;
  }

  /** Room for twice as much. @returns false when the tables are as large as they get */
  #makeMore(): boolean {
    const { capacity } = this.#writer.tables;
    const { peers, macs, prefixes } = this.#writer.needs;
    const waiting = this.#writer.refused.size;
    if (capacity.peers >= this.#most && peers >= capacity.peers) return false;
    const room = { peers: peers + waiting, macs: macs + waiting, prefixes: prefixes + waiting };
    const isEnough = (next: TableCapacity): boolean =>
      next.peers > capacity.peers || next.macs > capacity.macs || next.prefixes > capacity.prefixes;
    const next = [this.#doubled(room, 1), this.#doubled(room, 2)].find(isEnough);
    if (next) this.#grow(next);
    return next !== undefined;
  }

  /** @throws RipstopError ECAPACITY */
  #makeRoom(needs: TableNeeds): void {
    const { capacity } = this.#writer.tables;
    if (needs.peers <= capacity.peers && needs.macs <= capacity.macs && needs.prefixes <= capacity.prefixes)
      return;
    const next = this.#doubled(needs, 1);
    checkRoom(needs, next);
    this.#grow(next);
  }

  #doubled(needs: TableNeeds, least: 1 | 2): TableCapacity {
    const { peers, macs, prefixes, readers } = this.#writer.tables.capacity;
    let factor: number = least;
    while (peers * factor < needs.peers || macs * factor < needs.macs || prefixes * factor < needs.prefixes)
      factor *= 2;
    const most = 1 << 22;
    return {
      peers: Math.max(peers, Math.min(peers * factor, this.#most)),
      macs: Math.min(macs * factor, most),
      prefixes: Math.min(prefixes * factor, most),
      readers,
    };
  }
}
